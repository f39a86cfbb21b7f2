#include "supervisor/tunnel/wg/counters.h"

namespace icon::tunnel::wg {

std::string_view to_string(Drop drop) {
  static constexpr std::array<std::string_view, kDropKinds> kNames = {
      "malformed",        "no_key",        "bad_mac1",
      "cookie_demanded",  "rate_limited",  "unknown_index",
      "forged_handshake", "unknown_peer",  "replayed_initiation",
      "initiation_flood", "forged_cookie", "forged",
      "replayed",         "expired_key",   "bad_packet",
      "source",           "over_limit",    "no_route",
      "no_endpoint",      "stage_full",    "stage_abandoned"};
  return kNames[static_cast<std::size_t>(drop)];
}

}  // namespace icon::tunnel::wg
