// What goes into the engine and comes out of it, besides packets.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "supervisor/tunnel/wg/aead.h"
#include "supervisor/tunnel/wg/allowed_ips.h"
#include "supervisor/tunnel/wg/receive_limit.h"

namespace icon::tunnel::wg {

inline constexpr std::uint64_t kRekeyAfterMessages = std::uint64_t{1} << 60;
inline constexpr std::size_t kPeersMax = 65'536;
inline constexpr std::size_t kStagedBytesMax = std::size_t{4} << 20;  // of all peers together
// More handshake messages than this make us ask for cookies until a second has been quiet.
inline constexpr int kHandshakesPerSecondMax = 250;
inline constexpr int kHandshakeBurstMax = 100;

class Peer;
class Keypair;
using PeerPtr = std::shared_ptr<Peer>;
using KeypairPtr = std::shared_ptr<Keypair>;

struct Now {
  SteadyTime steady;
  UtcMillis utc_ms = 0;
};

struct OutDatagram {
  std::vector<std::uint8_t> bytes;
  Endpoint endpoint;
};

// What a call wants done. Owner: one of the two threads, which empties it after each call.
class Outbox {
 public:
  std::vector<OutDatagram> datagrams;
  // deadline() is now earlier than it last said: the receiving thread must be woken to ask again.
  bool wake = false;

  void clear() {
    datagrams.clear();
    wake = false;
  }

 private:
  friend class Engine;
  friend class Peer;
  std::vector<PeerPtr> initiations_;  // begun once the lock is given back
};

enum class SealStatus {
  kSealed,   // send the segments to `endpoint`
  kStaged,   // copied; they will be in an Outbox of receive() once there is a session
  kDropped,  // and counted
};
struct SealResult {
  SealStatus status = SealStatus::kDropped;
  PeerId peer = kNoPeer;
  Endpoint endpoint;
};

struct PeerStatistics {
  std::uint64_t rx_bytes = 0;  // of datagrams, as `wg show` counts
  std::uint64_t tx_bytes = 0;
  UtcMillis last_handshake_ms = 0;  // 0: never
};

// A peer as somebody who configures sees it.
struct PeerState {
  PeerId id = kNoPeer;
  Key public_key{};
  Secret preshared_key;
  std::optional<Endpoint> endpoint;
  std::chrono::seconds persistent_keepalive{0};
  std::vector<Prefix> allowed_ips;
  PeerStatistics statistics;
  bool has_session = false;
  ReceiveLimit limit;
  std::uint64_t over_limit = 0;  // datagrams dropped by it
};

struct EngineOptions {
  AeadBackend aead = AeadBackend::kAutomatic;
  // Of the interface: inner packets are not padded beyond it. 0: no limit.
  std::size_t mtu = 1420;
  int handshakes_per_second_max = kHandshakesPerSecondMax;
  int handshake_burst_max = kHandshakeBurstMax;
  // Under one session, before a new one is made.
  std::uint64_t rekey_after_messages = kRekeyAfterMessages;
};

}  // namespace icon::tunnel::wg
