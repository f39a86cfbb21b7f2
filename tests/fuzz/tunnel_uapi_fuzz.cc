// The tunnel's control protocol: a request, and an answer.
#include "supervisor/tunnel/uapi.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::tunnel {

ICON_FUZZ_TARGET(tunnel_uapi) {
  if (const auto settings = parse_set(input)) {
    std::size_t allowed = 0;
    for (const auto& peer : settings->peers) {
      allowed += peer.allowed_ips.size();
      if (peer.endpoint) ICON_FUZZ_REQUIRE(peer.endpoint->port != 0);
      if (peer.persistent_keepalive_s)
        ICON_FUZZ_REQUIRE(*peer.persistent_keepalive_s >= 0 &&
                          *peer.persistent_keepalive_s <= kKeepaliveSecondsMax);
    }
    ICON_FUZZ_REQUIRE(settings->peers.size() + allowed <= input.size());
  }
  const auto state = parse_get(input);
  if (!state) return;
  // What is understood can be said again, and then means the same.
  const std::string text = format_get(*state);
  if (text.size() > kUapiBytesMax) return;
  const auto again = parse_get(text);
  ICON_FUZZ_REQUIRE(again.has_value());
  ICON_FUZZ_REQUIRE(format_get(*again) == text);
}

}  // namespace icon::tunnel
