// WireGuard's control protocol (wireguard.com/xplatform), text over a unix
// socket: "set=1", "key=value" lines and an empty line are answered by
// "errno=0", "get=1" by the state. What `wg` and the supervisor speak to a
// tunnel. Parsing and printing; pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/result.h"
#include "supervisor/tunnel/wg/receive_limit.h"
#include "supervisor/tunnel/wg/secret.h"

namespace icon::tunnel {

inline constexpr std::size_t kUapiBytesMax = 256 << 10;  // of a request, and of an answer we read
inline constexpr int kKeepaliveSecondsMax = 65'535;

struct PeerSettings {
  wg::Key public_key{};
  bool remove = false;
  bool update_only = false;
  std::optional<wg::Secret> preshared_key;  // zero: none
  std::optional<Endpoint> endpoint;
  std::optional<int> persistent_keepalive_s;
  bool replace_allowed_ips = false;
  struct AllowedIp {
    Prefix prefix;
    bool remove = false;
  };
  std::vector<AllowedIp> allowed_ips;
  // Our own keys: icon_rate_bits, icon_rate_packets, icon_rekey.
  std::optional<std::uint64_t> rate_bits;
  std::optional<std::uint64_t> rate_packets;
  bool rekey = false;  // begin a handshake now, whatever the session's age
};

struct Settings {
  std::optional<wg::Secret> private_key;  // zero: none
  std::optional<std::uint16_t> listen_port;
  std::optional<std::uint32_t> fwmark;
  bool replace_peers = false;
  std::vector<PeerSettings> peers;
};

struct TunnelPeer {
  wg::Key public_key{};
  wg::Secret preshared_key;
  std::optional<Endpoint> endpoint;
  UtcMillis last_handshake_ms = 0;
  std::uint64_t rx_bytes = 0;
  std::uint64_t tx_bytes = 0;
  int persistent_keepalive_s = 0;
  std::vector<Prefix> allowed_ips;
  wg::ReceiveLimit limit;
  std::uint64_t limited = 0;  // packets beyond it
};

struct TunnelState {
  wg::Secret private_key;
  std::uint16_t listen_port = 0;
  std::uint32_t fwmark = 0;
  // Our own, "icon_drop_<reason>": packets dropped, by reason.
  std::vector<std::pair<std::string, std::uint64_t>> drops;
  std::string aead;  // icon_aead
  std::vector<TunnelPeer> peers;

  std::uint64_t drop(std::string_view reason) const;
};

// `request` without the final empty line, beginning with "set=1". Errors:
// kInvalid for unknown keys and bad values, kLimit.
Result<Settings> parse_set(std::string_view request);
// The answer to "get=1". Holds the private key, as the protocol has it: wipe
// after use.
std::string format_get(const TunnelState& state);
// What format_get() or another implementation printed. Errors: kInvalid,
// kLimit.
Result<TunnelState> parse_get(std::string_view answer);

Result<wg::Key> key_from_hex(std::string_view text);
void wipe_text(std::string& text);

}  // namespace icon::tunnel
