// One session's keys, the counter of what was sent under them and the window of what was received.
// The data plane's only shared object.
//
// Threads: any may seal (with an Aead of its own); only the receiving thread opens. Shared by
// std::shared_ptr; the keys are wiped with the last one.
#pragma once

#include <atomic>
#include <optional>

#include "base/clock.h"
#include "supervisor/tunnel/wg/aead.h"
#include "supervisor/tunnel/wg/allowed_ips.h"
#include "supervisor/tunnel/wg/noise.h"
#include "supervisor/tunnel/wg/replay_window.h"

namespace icon::tunnel::wg {

// No session carries more (whitepaper, section 6.1): the counter must not wrap.
inline constexpr std::uint64_t kRejectAfterMessages = ~std::uint64_t{0} - (std::uint64_t{1} << 13);

// A packet to be sealed where it lies.
struct Segment {
  // kTransportHeaderBytes of room, then the packet, then kSealRoomAfter of room; afterwards the
  // datagram.
  std::uint8_t* datagram = nullptr;
  std::size_t bytes = 0;  // before: of the packet; afterwards: of the datagram
};

// A datagram to be opened where it lies.
struct Received {
  std::uint8_t* datagram = nullptr;
  std::size_t bytes = 0;
  // Afterwards: the inner packet, inside the datagram, its length as in its own header, its source
  // allowed for `peer`. Empty: nothing to deliver (a handshake, a keepalive, or dropped).
  MutableBytes packet;
  PeerId peer = kNoPeer;
};

enum class Opened : std::uint8_t { kOk, kForged, kReplayed, kExhausted };

class Keypair {
 public:
  // How many packets seal() and open() hand to the Aead at once.
  static constexpr std::size_t kBatchMax = 64;

  struct Indices {
    std::uint32_t local = 0;
    std::uint32_t remote = 0;
  };
  Keypair(Indices indices, const TransportKeys& keys, bool is_initiator, SteadyTime created);
  Keypair(const Keypair&) = delete;
  Keypair& operator=(const Keypair&) = delete;

  // Takes `count` counters; nothing when they are used up (REJECT_AFTER_MESSAGES). Any thread.
  std::optional<std::uint64_t> reserve(std::uint64_t count);
  // With the counters from `first` on. Any thread, with the thread's own `aead`. No allocation.
  void seal(Aead& aead, std::span<Segment> segments, std::uint64_t first, std::size_t mtu) const;
  // At most kBatchMax whole transport messages for this session (length and index checked). Sets
  // `opened` of each; the padded text lies behind the header. Receiving thread. No allocation.
  void open(Aead& aead, std::span<const Received> datagrams, std::span<Opened> opened);

  std::uint32_t local_index() const { return indices_.local; }
  std::uint32_t remote_index() const { return indices_.remote; }
  bool is_initiator() const { return is_initiator_; }
  SteadyTime created() const { return created_; }
  std::uint64_t sent() const { return send_counter_.load(std::memory_order_relaxed); }

 private:
  const Indices indices_;
  const TransportKeys keys_;
  const bool is_initiator_;
  const SteadyTime created_;
  std::atomic<std::uint64_t> send_counter_{0};
  ReplayWindow window_;
};

}  // namespace icon::tunnel::wg
