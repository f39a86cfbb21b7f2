// The control protocol of a tunnel process, text over a unix socket, as WireGuard's user-space
// implementations speak it (wireguard.com/xplatform): "set=1\nkey=value\n..\n\n" is answered by
// "errno=0\n\n", "get=1\n\n" by the state. Parsing and printing; pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "supervisor/tunnel/handshake.h"
#include "supervisor/tunnel/peer.h"

namespace icon::tunnel {

inline constexpr std::size_t kUapiBytesMax = 16 << 10;
inline constexpr std::size_t kAllowedMax = 64;

struct PeerSettings {
  Key public_key{};
  std::optional<Endpoint> endpoint;
  std::optional<int> persistent_keepalive_s;
  bool replace_allowed = false;
  bool remove = false;
  std::vector<Prefix> allowed;
};

struct Settings {
  std::optional<Key> private_key;
  std::optional<std::uint16_t> listen_port;
  bool replace_peers = false;
  std::optional<PeerSettings> peer;  // one interface, one peer
  ~Settings() {
    if (private_key) wipe(*private_key);
  }
};

struct DeviceState {
  Key private_key{};
  std::uint16_t listen_port = 0;
  bool has_peer = false;
  Key peer_key{};
  Endpoint endpoint;
  int persistent_keepalive_s = 0;
  std::vector<Prefix> allowed;
  UtcMillis last_handshake_ms = 0;
  PeerCounters counters;
  ~DeviceState() { wipe(private_key); }
};

// `request` without the final empty line, beginning with "set=1". Errors: kInvalid for unknown
// keys, bad values, a second peer; kLimit.
Result<Settings> parse_set(std::string_view request);
// The answer to "get=1", with the keys of our own counters at the end. Holds the private key, as
// the protocol has it: wipe after use.
std::string format_get(const DeviceState& state);
// What format_get() printed. Errors: kInvalid.
Result<DeviceState> parse_get(std::string_view answer);

Result<Key> key_from_hex(std::string_view text);

}  // namespace icon::tunnel
