#include "supervisor/tunnel/uapi.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/encoding.h"

namespace icon::tunnel {
namespace {

constexpr int kKeepaliveSecondsMax = 65'535;

tl::unexpected<Error> bad(std::string_view key) {
  // Never the value: it may be a secret.
  return fail(Code::kInvalid, "tunnel control: bad value of " + std::string(key.substr(0, 40)));
}

template <class Number>
Result<Number> number(std::string_view key, std::string_view text, Number max) {
  Number value{};
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || value > max)
    return bad(key);
  return value;
}

struct Line {
  std::string_view key;
  std::string_view value;
};

// Takes a line off `text`. Errors: kInvalid without '='.
Result<Line> next_line(std::string_view& text) {
  const auto line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  const auto equals = line.find('=');
  if (equals == std::string_view::npos)
    return fail(Code::kInvalid, "tunnel control: a line without '='");
  return Line{line.substr(0, equals), line.substr(equals + 1)};
}

Status set_peer_value(PeerSettings& peer, const Line& line) {
  if (line.key == "remove") {
    peer.remove = line.value == "true";
  } else if (line.key == "update_only" || line.key == "protocol_version") {
    return {};
  } else if (line.key == "preshared_key") {
    if (line.value.find_first_not_of('0') != std::string_view::npos)
      return fail(Code::kInvalid, "tunnel control: preshared keys are not supported");
  } else if (line.key == "endpoint") {
    const auto endpoint = Endpoint::parse(line.value);
    if (!endpoint || endpoint->port == 0) return bad(line.key);
    peer.endpoint = *endpoint;
  } else if (line.key == "persistent_keepalive_interval") {
    ICON_TRY(int seconds, number<int>(line.key, line.value, kKeepaliveSecondsMax));
    if (seconds < 0) return bad(line.key);
    peer.persistent_keepalive_s = seconds;
  } else if (line.key == "replace_allowed_ips") {
    peer.replace_allowed = line.value == "true";
  } else if (line.key == "allowed_ip") {
    const auto prefix = Prefix::parse(line.value);
    if (!prefix) return bad(line.key);
    if (peer.allowed.size() >= kAllowedMax)
      return fail(Code::kLimit, "tunnel control: too many allowed_ip");
    peer.allowed.push_back(*prefix);
  } else {
    return fail(Code::kInvalid,
                "tunnel control: unknown key " + std::string(line.key.substr(0, 40)));
  }
  return {};
}

Status set_value(Settings& settings, const Line& line) {
  if (line.key == "public_key") {
    ICON_TRY(Key key, key_from_hex(line.value));
    if (settings.peer && settings.peer->public_key != key)
      return fail(Code::kInvalid, "tunnel control: one interface has one peer");
    if (!settings.peer) settings.peer.emplace();
    settings.peer->public_key = key;
    return {};
  }
  if (settings.peer) return set_peer_value(*settings.peer, line);
  if (line.key == "private_key") {
    auto key = key_from_hex(line.value);
    if (!key) return bad(line.key);
    settings.private_key = *key;
    wipe(*key);
  } else if (line.key == "listen_port") {
    ICON_TRY(settings.listen_port, number<std::uint16_t>(line.key, line.value, 65'535));
  } else if (line.key == "replace_peers") {
    settings.replace_peers = line.value == "true";
  } else if (line.key != "fwmark" || line.value != "0") {
    return fail(Code::kInvalid,
                "tunnel control: unknown key " + std::string(line.key.substr(0, 40)));
  }
  return {};
}

struct CounterName {
  const char* name;
  std::uint64_t PeerCounters::*value;
};
constexpr CounterName kCounterNames[] = {
    {"rx_bytes", &PeerCounters::rx_bytes},        {"tx_bytes", &PeerCounters::tx_bytes},
    {"icon_malformed", &PeerCounters::malformed}, {"icon_forged", &PeerCounters::forged},
    {"icon_replayed", &PeerCounters::replayed},   {"icon_refused", &PeerCounters::refused},
    {"icon_unstaged", &PeerCounters::unstaged},   {"icon_handshakes", &PeerCounters::handshakes},
};

Status read_state_value(DeviceState& state, std::int64_t& nanoseconds, const Line& line) {
  constexpr std::int64_t kMax = INT64_MAX / 1000;
  if (line.key == "private_key") {
    ICON_TRY(state.private_key, key_from_hex(line.value));
  } else if (line.key == "listen_port") {
    ICON_TRY(state.listen_port, number<std::uint16_t>(line.key, line.value, 65'535));
  } else if (line.key == "public_key") {
    ICON_TRY(state.peer_key, key_from_hex(line.value));
    state.has_peer = true;
  } else if (line.key == "endpoint") {
    ICON_TRY(state.endpoint, Endpoint::parse(line.value));
  } else if (line.key == "persistent_keepalive_interval") {
    ICON_TRY(state.persistent_keepalive_s, number<int>(line.key, line.value, kKeepaliveSecondsMax));
  } else if (line.key == "allowed_ip") {
    ICON_TRY(Prefix prefix, Prefix::parse(line.value));
    state.allowed.push_back(prefix);
  } else if (line.key == "last_handshake_time_sec") {
    ICON_TRY(std::int64_t seconds, number<std::int64_t>(line.key, line.value, kMax));
    state.last_handshake_ms = seconds * 1000;
  } else if (line.key == "last_handshake_time_nsec") {
    ICON_TRY(nanoseconds, number<std::int64_t>(line.key, line.value, 999'999'999));
  } else {
    for (const auto& counter : kCounterNames) {
      if (line.key != counter.name) continue;
      ICON_TRY(state.counters.*counter.value,
               number<std::uint64_t>(line.key, line.value, UINT64_MAX));
    }
  }
  return {};
}

}  // namespace

Result<Key> key_from_hex(std::string_view text) {
  Key key{};
  auto bytes = hex_decode(text, key.size());
  if (!bytes || bytes->size() != key.size())
    return fail(Code::kInvalid, "a tunnel key is 64 hex digits");
  std::copy(bytes->begin(), bytes->end(), key.begin());
  wipe(*bytes);
  return key;
}

Result<Settings> parse_set(std::string_view request) {
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

std::string format_get(const DeviceState& state) {
  std::string text;
  text.reserve(kUapiBytesMax);  // in one piece: no copy of the key is left behind by growing
  std::string key = hex_encode(state.private_key);
  text += "private_key=" + key + "\n";
  wipe({reinterpret_cast<std::uint8_t*>(key.data()), key.size()});
  text += fmt::format("listen_port={}\n", state.listen_port);
  if (state.has_peer) {
    text += fmt::format("public_key={}\n", hex_encode(state.peer_key));
    if (state.endpoint.port != 0) text += fmt::format("endpoint={}\n", state.endpoint.to_string());
    text += fmt::format("last_handshake_time_sec={}\nlast_handshake_time_nsec={}\n",
                        state.last_handshake_ms / 1000, state.last_handshake_ms % 1000 * 1'000'000);
    for (const auto& counter : kCounterNames)
      text += fmt::format("{}={}\n", counter.name, state.counters.*counter.value);
    text += fmt::format("persistent_keepalive_interval={}\n", state.persistent_keepalive_s);
    for (const auto& prefix : state.allowed)
      text += fmt::format("allowed_ip={}\n", prefix.to_string());
    text += "protocol_version=1\n";
  }
  return text + "errno=0\n\n";
}

Result<DeviceState> parse_get(std::string_view answer) {
  while (answer.ends_with('\n')) answer.remove_suffix(1);
  DeviceState state;
  std::int64_t nanoseconds = 0;
  while (!answer.empty()) {
    ICON_TRY(Line line, next_line(answer));
    if (line.key == "errno") {
      if (line.value != "0")
        return fail(Code::kInvalid, "the tunnel answers errno " + std::string(line.value));
      continue;
    }
    ICON_CHECK(read_state_value(state, nanoseconds, line));
  }
  state.last_handshake_ms += nanoseconds / 1'000'000;
  return state;
}

}  // namespace icon::tunnel
