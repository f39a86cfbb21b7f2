// What a tunnel counts: datagrams and packets that were dropped, by reason. Any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace icon::tunnel::wg {

enum class Drop : std::uint8_t {
  kMalformed,           // no type, unknown type, wrong length
  kNoKey,               // a handshake message, and we have no private key
  kBadMac1,             // a handshake message that is not meant for our key
  kCookieDemanded,      // under load: answered with a cookie, nothing else
  kRateLimited,         // under load: too many handshakes from one source
  kUnknownIndex,        // a receiver index that is not ours
  kForgedHandshake,     // failed authentication
  kUnknownPeer,         // a handshake with a key that we were not told of
  kReplayedInitiation,  // a timestamp that is not newer
  kInitiationFlood,     // one peer, more than kInitiationsPerSecond
  kForgedCookie,
  kForged,          // a transport message that failed authentication
  kReplayed,        // a counter that was seen, or is too old
  kExpiredKey,      // a session that is too old or has seen too many messages
  kBadPacket,       // authentic, but not an IP packet
  kSource,          // an inner source that is not allowed for this peer
  kOverLimit,       // beyond the peer's receive limit
  kNoRoute,         // outgoing: no peer has this address
  kNoEndpoint,      // outgoing: nobody told us where the peer is
  kStageFull,       // outgoing: packets that wait for a session, beyond the limit
  kStageAbandoned,  // outgoing: the handshake was given up, or the peer removed
};
inline constexpr std::size_t kDropKinds = static_cast<std::size_t>(Drop::kStageAbandoned) + 1;
// "bad_mac1" etc.
std::string_view to_string(Drop drop);

class DropCounters {
 public:
  void add(Drop drop, std::uint64_t count = 1) {
    counts_[static_cast<std::size_t>(drop)].fetch_add(count, std::memory_order_relaxed);
  }
  std::uint64_t operator[](Drop drop) const {
    return counts_[static_cast<std::size_t>(drop)].load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<std::uint64_t>, kDropKinds> counts_{};
};

}  // namespace icon::tunnel::wg
