#include "supervisor/tunnel/uapi.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <charconv>

#include "base/encoding.h"

namespace icon::tunnel {
namespace {

constexpr std::size_t kKeyBytesShown = 40;
constexpr std::size_t kDropKindsMax = 64;
constexpr std::size_t kAeadNameMax = 64;
constexpr std::string_view kDropPrefix = "icon_drop_";

tl::unexpected<Error> bad(std::string_view key) {
  // Never the value: it may be a secret.
  return fail(Code::kInvalid,
              "tunnel control: bad value of " + std::string(key.substr(0, kKeyBytesShown)));
}

tl::unexpected<Error> unknown(std::string_view key) {
  return fail(Code::kInvalid,
              "tunnel control: unknown key " + std::string(key.substr(0, kKeyBytesShown)));
}

struct Line {
  std::string_view key;
  std::string_view value;
};

template <class Number>
Result<Number> number(const Line& line, Number max) {
  Number value{};
  std::string_view text = line.value;
  int base = 10;
  if (text.starts_with("0x")) {  // wg prints marks like that
    text.remove_prefix(2);
    base = 16;
  }
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || value > max)
    return bad(line.key);
  if constexpr (std::is_signed_v<Number>)
    if (value < 0) return bad(line.key);
  return value;
}

Result<bool> only_true(const Line& line) {
  if (line.value != "true") return bad(line.key);
  return true;
}

Result<wg::Secret> secret(const Line& line) {
  auto key = key_from_hex(line.value);
  if (!key) return bad(line.key);
  wg::Secret value(*key);
  wg::wipe(*key);
  return value;
}

Result<Endpoint> endpoint(const Line& line) {
  auto value = Endpoint::parse(line.value);
  if (!value || value->port == 0) return bad(line.key);
  return value;
}

// Takes a line off `text`. Errors: kInvalid without '='.
Result<Line> next_line(std::string_view& text) {
  const auto line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  const auto equals = line.find('=');
  if (equals == std::string_view::npos)
    return fail(Code::kInvalid, "tunnel control: a line without '='");
  return Line{line.substr(0, equals), line.substr(equals + 1)};
}

Status set_allowed_ip(PeerSettings& peer, Line line) {
  const bool remove = line.value.starts_with('-');
  if (remove || line.value.starts_with('+')) line.value.remove_prefix(1);
  const auto prefix = Prefix::parse(line.value);
  if (!prefix) return bad(line.key);
  peer.allowed_ips.push_back({*prefix, remove});
  return {};
}

Status set_peer_value(PeerSettings& peer, const Line& line) {
  if (line.key == "remove") {
    ICON_TRY(peer.remove, only_true(line));
  } else if (line.key == "update_only") {
    ICON_TRY(peer.update_only, only_true(line));
  } else if (line.key == "preshared_key") {
    ICON_TRY(peer.preshared_key, secret(line));
  } else if (line.key == "endpoint") {
    ICON_TRY(peer.endpoint, endpoint(line));
  } else if (line.key == "persistent_keepalive_interval") {
    ICON_TRY(peer.persistent_keepalive_s, number<int>(line, kKeepaliveSecondsMax));
  } else if (line.key == "replace_allowed_ips") {
    ICON_TRY(peer.replace_allowed_ips, only_true(line));
  } else if (line.key == "allowed_ip") {
    return set_allowed_ip(peer, line);
  } else if (line.key == "protocol_version") {
    if (line.value != "1") return bad(line.key);
  } else if (line.key == "icon_rate_bits") {
    ICON_TRY(peer.rate_bits, number<std::uint64_t>(line, INT64_MAX));
  } else if (line.key == "icon_rate_packets") {
    ICON_TRY(peer.rate_packets, number<std::uint64_t>(line, INT64_MAX));
  } else if (line.key == "icon_rekey") {
    ICON_TRY(peer.rekey, only_true(line));
  } else {
    return unknown(line.key);
  }
  return {};
}

Status set_value(Settings& settings, const Line& line) {
  if (line.key == "public_key") {
    ICON_TRY(wg::Key key, key_from_hex(line.value));
    settings.peers.emplace_back().public_key = key;
  } else if (!settings.peers.empty()) {
    return set_peer_value(settings.peers.back(), line);
  } else if (line.key == "private_key") {
    ICON_TRY(settings.private_key, secret(line));
  } else if (line.key == "listen_port") {
    ICON_TRY(settings.listen_port, number<std::uint16_t>(line, 65'535));
  } else if (line.key == "fwmark") {
    ICON_TRY(settings.fwmark, number<std::uint32_t>(line, UINT32_MAX));
  } else if (line.key == "replace_peers") {
    ICON_TRY(settings.replace_peers, only_true(line));
  } else {
    return unknown(line.key);
  }
  return {};
}

// Unknown keys are skipped: another implementation may tell more.
Status read_peer_value(TunnelPeer& peer, const Line& line) {
  constexpr std::int64_t kSecondsMax = INT64_MAX / 2000;
  if (line.key == "preshared_key") {
    ICON_TRY(peer.preshared_key, secret(line));
  } else if (line.key == "endpoint") {
    ICON_TRY(peer.endpoint, endpoint(line));
  } else if (line.key == "last_handshake_time_sec") {
    ICON_TRY(std::int64_t seconds, number<std::int64_t>(line, kSecondsMax));
    peer.last_handshake_ms += seconds * 1000;
  } else if (line.key == "last_handshake_time_nsec") {
    ICON_TRY(std::int64_t nanoseconds, number<std::int64_t>(line, 999'999'999));
    peer.last_handshake_ms += nanoseconds / 1'000'000;
  } else if (line.key == "rx_bytes") {
    ICON_TRY(peer.rx_bytes, number<std::uint64_t>(line, UINT64_MAX));
  } else if (line.key == "tx_bytes") {
    ICON_TRY(peer.tx_bytes, number<std::uint64_t>(line, UINT64_MAX));
  } else if (line.key == "persistent_keepalive_interval") {
    ICON_TRY(peer.persistent_keepalive_s, number<int>(line, kKeepaliveSecondsMax));
  } else if (line.key == "allowed_ip") {
    const auto prefix = Prefix::parse(line.value);
    if (!prefix) return bad(line.key);
    peer.allowed_ips.push_back(*prefix);
  } else if (line.key == "icon_rate_bits") {
    ICON_TRY(peer.limit.bits_per_second, number<std::uint64_t>(line, UINT64_MAX));
  } else if (line.key == "icon_rate_packets") {
    ICON_TRY(peer.limit.packets_per_second, number<std::uint64_t>(line, UINT64_MAX));
  } else if (line.key == "icon_limited") {
    ICON_TRY(peer.limited, number<std::uint64_t>(line, UINT64_MAX));
  }
  return {};
}

Status read_value(TunnelState& state, const Line& line) {
  if (line.key == "public_key") {
    ICON_TRY(wg::Key key, key_from_hex(line.value));
    state.peers.emplace_back().public_key = key;
  } else if (!state.peers.empty()) {
    return read_peer_value(state.peers.back(), line);
  } else if (line.key == "private_key") {
    ICON_TRY(state.private_key, secret(line));
  } else if (line.key == "listen_port") {
    ICON_TRY(state.listen_port, number<std::uint16_t>(line, 65'535));
  } else if (line.key == "fwmark") {
    ICON_TRY(state.fwmark, number<std::uint32_t>(line, UINT32_MAX));
  } else if (line.key == "icon_aead") {
    state.aead = line.value.substr(0, kAeadNameMax);
  } else if (line.key.starts_with(kDropPrefix)) {
    if (state.drops.size() >= kDropKindsMax)
      return fail(Code::kLimit, "tunnel control: too many counters");
    ICON_TRY(std::uint64_t count, number<std::uint64_t>(line, UINT64_MAX));
    state.drops.emplace_back(line.key.substr(kDropPrefix.size(), kKeyBytesShown), count);
  }
  return {};
}

void append_secret(std::string& text, std::string_view name, const wg::Secret& value) {
  std::string hex = hex_encode(value.bytes());
  text.append(name).append("=").append(hex).append("\n");
  wipe_text(hex);
}

void append_peer(std::string& text, const TunnelPeer& peer) {
  text += fmt::format("public_key={}\n", hex_encode(peer.public_key));
  append_secret(text, "preshared_key", peer.preshared_key);
  if (peer.endpoint) text += fmt::format("endpoint={}\n", peer.endpoint->to_string());
  text += fmt::format(
      "last_handshake_time_sec={}\nlast_handshake_time_nsec={}"
      "\nrx_bytes={}\ntx_bytes={}\n"
      "persistent_keepalive_interval={}\n",
      peer.last_handshake_ms / 1000, peer.last_handshake_ms % 1000 * 1'000'000, peer.rx_bytes,
      peer.tx_bytes, peer.persistent_keepalive_s);
  if (peer.limit != wg::ReceiveLimit{})
    text += fmt::format("icon_rate_bits={}\nicon_rate_packets={}\n", peer.limit.bits_per_second,
                        peer.limit.packets_per_second);
  if (peer.limited != 0) text += fmt::format("icon_limited={}\n", peer.limited);
  for (const auto& prefix : peer.allowed_ips)
    text += fmt::format("allowed_ip={}\n", prefix.to_string());
  text += "protocol_version=1\n";
}

}  // namespace

void wipe_text(std::string& text) { sodium_memzero(text.data(), text.size()); }

Result<wg::Key> key_from_hex(std::string_view text) {
  wg::Key key{};
  auto bytes = hex_decode(text, key.size());
  if (!bytes || bytes->size() != key.size())
    return fail(Code::kInvalid, "a tunnel key is 64 hex digits");
  std::copy(bytes->begin(), bytes->end(), key.begin());
  wg::wipe(*bytes);
  return key;
}

std::uint64_t TunnelState::drop(std::string_view reason) const {
  for (const auto& [name, count] : drops)
    if (name == reason) return count;
  return 0;
}

Result<Settings> parse_set(std::string_view request) {
  if (request.size() > kUapiBytesMax) return fail(Code::kLimit, "tunnel control: too long");
  ICON_TRY(Line first, next_line(request));
  if (first.key != "set" || first.value != "1")
    return fail(Code::kInvalid, "tunnel control: not a set request");
  Settings settings;
  while (!request.empty()) {
    ICON_TRY(Line line, next_line(request));
    ICON_CHECK(set_value(settings, line));
  }
  return settings;
}

std::string format_get(const TunnelState& state) {
  constexpr std::size_t kPeerBytes = 1024;
  constexpr std::size_t kPrefixBytes = 64;
  std::size_t room = 4096;
  for (const auto& peer : state.peers) room += kPeerBytes + peer.allowed_ips.size() * kPrefixBytes;
  std::string text;
  text.reserve(room);  // in one piece: no copy of a key is left behind by growing
  if (!state.private_key.is_zero()) append_secret(text, "private_key", state.private_key);
  text += fmt::format("listen_port={}\n", state.listen_port);
  if (state.fwmark != 0) text += fmt::format("fwmark={}\n", state.fwmark);
  if (!state.aead.empty()) text += fmt::format("icon_aead={}\n", state.aead);
  for (const auto& [reason, count] : state.drops)
    if (count != 0) text += fmt::format("{}{}={}\n", kDropPrefix, reason, count);
  for (const auto& peer : state.peers) append_peer(text, peer);
  text += "errno=0\n\n";
  return text;
}

Result<TunnelState> parse_get(std::string_view answer) {
  if (answer.size() > kUapiBytesMax) return fail(Code::kLimit, "the tunnel's answer is too long");
  while (answer.ends_with('\n')) answer.remove_suffix(1);
  TunnelState state;
  while (!answer.empty()) {
    ICON_TRY(Line line, next_line(answer));
    if (line.key != "errno") {
      ICON_CHECK(read_value(state, line));
    } else if (line.value != "0") {
      return fail(Code::kInvalid,
                  "the tunnel answers errno " + std::string(line.value.substr(0, kKeyBytesShown)));
    }
  }
  return state;
}

}  // namespace icon::tunnel
