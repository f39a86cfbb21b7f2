// The MACs at the end of handshake messages and the cookies that a busy tunnel asks for
// (whitepaper, sections 5.3 and 5.4.4 to 5.4.7): who does not own its address costs us two hashes.
#pragma once

#include <optional>

#include "base/address.h"
#include "base/clock.h"
#include "supervisor/tunnel/wg/noise.h"

namespace icon::tunnel::wg {

inline constexpr Millis kCookieLifetime{120'000};  // of the secret behind the cookies
inline constexpr Millis kCookieLatency{5'000};     // not used in its last seconds: it is on its way

// What we demand of others. Receiving thread.
class CookieChecker {
 public:
  explicit CookieChecker(const Identity& identity);
  // `message` is a whole initiation or response.
  bool is_mac1_valid(Bytes message) const;
  // Whether the sender has a cookie of ours for the address it now sends from.
  bool is_mac2_valid(Bytes message, const Endpoint& source, SteadyTime now);
  CookieReplyMessage reply(Bytes message, const Endpoint& source, SteadyTime now);

 private:
  Mac cookie_for(const Endpoint& source, SteadyTime now);

  Key mac1_key_;
  Key cookie_key_;
  Secret secret_;
  std::optional<SteadyTime> secret_made_;
};

// What one peer demands of us. Under the engine's lock.
class CookieHolder {
 public:
  explicit CookieHolder(const Key& peer);
  // Fills both MACs of a handshake message that is about to be sent.
  void add_macs(MutableBytes message, SteadyTime now);
  // False: forged, or no answer to our last message.
  [[nodiscard]] bool accept(const CookieReplyMessage& reply, SteadyTime now);
  void forget();

 private:
  Key mac1_key_;
  Key cookie_key_;
  std::optional<Mac> last_mac1_;
  Mac cookie_{};
  std::optional<SteadyTime> cookie_got_;
};

}  // namespace icon::tunnel::wg
