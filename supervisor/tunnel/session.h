// One set of transport keys and what has been sent and seen under it. Pure.
#pragma once

#include <cstdint>
#include <span>

#include "base/clock.h"
#include "supervisor/tunnel/handshake.h"
#include "supervisor/tunnel/replay_window.h"

namespace icon::tunnel {

// Message formats (docs/network.md, "The tunnel's messages"). Integers are little-endian.
enum class MessageType : std::uint8_t { kInitiation = 1, kAnswer = 2, kTransport = 4 };
inline constexpr std::size_t kTransportHeaderBytes = 16;  // type, 3 zeros, receiver, counter
inline constexpr std::size_t kTransportOverhead = kTransportHeaderBytes + kTagBytes;

void put_le32(std::uint8_t* out, std::uint32_t value);
void put_le64(std::uint8_t* out, std::uint64_t value);
std::uint32_t get_le32(const std::uint8_t* in);
std::uint64_t get_le64(const std::uint8_t* in);

class Session {
 public:
  enum class Opened { kOk, kForged, kReplayed };

  Session(std::uint32_t local_index, std::uint32_t remote_index, const Key& send,
          const Key& receive, bool initiated, SteadyTime created);
  Session(const Session&) = default;
  Session& operator=(const Session&) = default;
  ~Session();

  // `datagram` is header, plain text, room for the tag; sealed in place.
  void seal(std::span<std::uint8_t> datagram);
  // `datagram` as received, at least kTransportOverhead bytes; opened in place: the plain text
  // begins after the header.
  Opened open(std::span<std::uint8_t> datagram);

  std::uint32_t local_index() const { return local_index_; }
  std::uint64_t sent() const { return send_counter_; }
  bool initiated() const { return initiated_; }
  SteadyTime created() const { return created_; }

 private:
  std::uint32_t local_index_;
  std::uint32_t remote_index_;
  Key send_key_;
  Key receive_key_;
  std::uint64_t send_counter_ = 0;
  ReplayWindow window_;
  bool initiated_;
  SteadyTime created_;
};

}  // namespace icon::tunnel
