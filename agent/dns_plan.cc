#include "agent/dns_plan.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <limits>
#include <system_error>
#include <utility>

namespace icon::agent {
namespace {

constexpr std::size_t kNameBytesMax = 253;
constexpr std::size_t kLabelBytesMax = 63;
constexpr std::size_t kDnsPathBytesMax = 4096;
constexpr std::size_t kMessageBytesMax = kDnsPathBytesMax + 1024;  // it may name the key file
constexpr std::size_t kSecretBytesMax = 512;
constexpr std::array<std::string_view, 4> kAlgorithms{"hmac-sha224", "hmac-sha256", "hmac-sha384",
                                                      "hmac-sha512"};

template <class Item>
bool holds(const std::vector<Item>& items, const Item& item) {
  return std::find(items.begin(), items.end(), item) != items.end();
}

// "v=icon1 id=ID a=ADDRESS until=UTC_MS". One without an end is never over.
struct Mark {
  std::string text;
  std::string_view owner;  // in it
  Address address;
  UtcMillis until_ms = std::numeric_limits<UtcMillis>::max();

  bool is_over(UtcMillis now_ms) const { return until_ms < now_ms - kDnsMarkGrace.count(); }
  bool needs_renewal(UtcMillis now_ms) const {
    return until_ms - now_ms < kDnsMarkLife.count() / 2;
  }
};

// Takes `key` and what follows it, up to the next space, from the front of `text`.
std::optional<std::string_view> take_field(std::string_view& text, std::string_view key) {
  if (!text.starts_with(key)) return std::nullopt;
  const auto end = std::min(text.find(' '), text.size());
  const auto value = text.substr(key.size(), end - key.size());
  text.remove_prefix(std::min(end + 1, text.size()));
  return value;
}

std::optional<Mark> read_mark(const std::string& text) {
  std::string_view rest = text;
  if (take_field(rest, "v=") != "icon1") return std::nullopt;
  const auto owner = take_field(rest, "id=");
  const auto address_text = take_field(rest, "a=");
  if (!owner || !address_text) return std::nullopt;
  const auto address = Address::parse(*address_text);
  if (!address) return std::nullopt;
  Mark mark{text, *owner, *address};
  if (rest.empty()) return mark;
  const auto until = take_field(rest, "until=");
  if (!until || !rest.empty()) return std::nullopt;
  const auto end = until->data() + until->size();
  const auto [at, error] = std::from_chars(until->data(), end, mark.until_ms);
  if (error != std::errc{} || at != end || mark.until_ms < 0) return std::nullopt;
  return mark;
}

bool is_label_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

bool is_base64(std::string_view text) {
  const auto body = text.substr(0, text.find('='));
  return !body.empty() && text.size() <= kSecretBytesMax && text.size() % 4 == 0 &&
         text.size() - body.size() <= 2 &&
         std::all_of(body.begin(), body.end(),
                     [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '+' || c == '/';
                     }) &&
         std::all_of(text.begin() + static_cast<std::ptrdiff_t>(body.size()), text.end(),
                     [](char c) { return c == '='; });
}

}  // namespace

std::string dns_mark(std::string_view owner, const Address& address, UtcMillis until_ms) {
  return "v=icon1 id=" + std::string(owner) + " a=" + address.to_string() +
         " until=" + std::to_string(until_ms);
}

DnsPlan plan_dns(const DnsSeen& seen, std::string_view owner, const std::vector<Address>& want,
                 UtcMillis now_ms) {
  std::vector<Mark> ours;
  std::vector<Mark> others;  // of those who live
  std::vector<Mark> over;
  for (const auto& text : seen.texts) {
    auto mark = read_mark(text);
    if (!mark) continue;
    auto& kind = owner == mark->owner ? ours : mark->is_over(now_ms) ? over : others;
    kind.push_back(std::move(*mark));
  }
  const auto is_in = [](const std::vector<Mark>& marks, const Address& address) {
    return std::any_of(marks.begin(), marks.end(),
                       [&](const Mark& mark) { return mark.address == address; });
  };
  DnsPlan plan;
  std::vector<std::string> kept;
  for (const auto& address : want) {
    const bool is_there = holds(seen.addresses, address);
    if (!is_there) plan.add.push_back(address);
    // Who wrote it without a mark keeps it, when we have gone, too.
    if (is_there && !is_in(ours, address) && !is_in(others, address) && !is_in(over, address)) {
      plan.foreign.push_back(address);
      continue;
    }
    const auto good = std::find_if(ours.begin(), ours.end(), [&](const Mark& mark) {
      return mark.address == address && !mark.needs_renewal(now_ms);
    });
    if (good != ours.end())
      kept.push_back(good->text);
    else
      plan.add_marks.push_back(dns_mark(owner, address, now_ms + kDnsMarkLife.count()));
  }
  over.insert(over.end(), ours.begin(), ours.end());
  for (const auto& mark : over) {
    if (holds(kept, mark.text)) continue;
    plan.remove_marks.push_back(mark.text);
    const auto& address = mark.address;
    if (holds(seen.addresses, address) && !holds(want, address) && !is_in(others, address) &&
        !holds(plan.remove, address))
      plan.remove.push_back(address);
  }
  return plan;
}

json::Array addresses_json(const std::vector<Address>& addresses) {
  json::Array array;
  for (const auto& address : addresses) array.emplace_back(address.to_string());
  return array;
}

Result<std::vector<Address>> read_addresses(const json::Object& object, std::string_view key) {
  ICON_TRY(const auto* array, json::get_array(object, key, kDnsAddressesMax));
  std::vector<Address> addresses;
  for (const auto& value : *array) {
    if (!value.is_string()) return fail(Code::kInvalid, "an address that is no text");
    ICON_TRY(const auto address, Address::parse(std::string_view(value.get_string())));
    if (!holds(addresses, address)) addresses.push_back(address);
  }
  return addresses;
}

json::Object DnsRequest::to_json() const {
  return {{"server", server.to_string()}, {"zone", zone},    {"name", name},
          {"key_file", key_file},         {"ttl_s", ttl_s},  {"owner", owner},
          {"want", addresses_json(want)}, {"now_ms", now_ms}};
}

Result<DnsRequest> DnsRequest::from_json(const json::Object& object) {
  DnsRequest request;
  ICON_TRY(const auto server, json::get_string(object, "server", kNameBytesMax));
  ICON_TRY(request.server, Endpoint::parse(server));
  ICON_TRY(request.zone, json::get_string(object, "zone", kNameBytesMax));
  ICON_TRY(request.name, json::get_string(object, "name", kNameBytesMax));
  ICON_TRY(request.key_file, json::get_string(object, "key_file", kDnsPathBytesMax));
  ICON_TRY(request.ttl_s,
           json::get_int(object, "ttl_s", 0, std::numeric_limits<std::int32_t>::max()));
  ICON_TRY(request.owner, json::get_string(object, "owner", kLabelBytesMax));
  ICON_TRY(request.want, read_addresses(object, "want"));
  ICON_TRY(request.now_ms, json::get_int(object, "now_ms", 0, INT64_MAX / 2));
  if (!is_domain_name(request.zone) || !is_domain_name(request.name) ||
      !is_within(request.name, request.zone))
    return fail(Code::kInvalid, "a name that is not in its zone");
  return request;
}

json::Object DnsOutcome::to_json() const {
  return {{"code", code},
          {"message", message},
          {"added", addresses_json(added)},
          {"removed", addresses_json(removed)},
          {"foreign", addresses_json(foreign)}};
}

Result<DnsOutcome> DnsOutcome::from_json(const json::Object& object) {
  DnsOutcome outcome;
  ICON_TRY(outcome.code, json::get_string(object, "code", kLabelBytesMax));
  ICON_TRY(outcome.message, json::get_string(object, "message", kMessageBytesMax));
  ICON_TRY(outcome.added, read_addresses(object, "added"));
  ICON_TRY(outcome.removed, read_addresses(object, "removed"));
  ICON_TRY(outcome.foreign, read_addresses(object, "foreign"));
  return outcome;
}

TsigKey::~TsigKey() { sodium_memzero(secret.data(), secret.size()); }

Result<TsigKey> parse_tsig_key(std::string_view text) {
  const char* hint = "the key file must hold one line [ALGORITHM:]NAME:SECRET";
  TsigKey key;
  key.secret.reserve(kSecretBytesMax);  // never in the object itself: moving it leaves no copy
  bool found = false;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    if (std::exchange(found, true)) return fail(Code::kInvalid, hint);
    const auto last = line.rfind(':');
    if (last == std::string_view::npos) return fail(Code::kInvalid, hint);
    auto name = line.substr(0, last);
    if (const auto first = name.find(':'); first != std::string_view::npos) {
      const auto algorithm = name.substr(0, first);
      if (std::find(kAlgorithms.begin(), kAlgorithms.end(), algorithm) == kAlgorithms.end())
        return fail(Code::kInvalid,
                    "the key's algorithm is none of hmac-sha224, -sha256, -sha384 and -sha512");
      key.algorithm = std::string(algorithm) + ".";
      name.remove_prefix(first + 1);
    }
    if (name.ends_with('.')) name.remove_suffix(1);
    if (!is_domain_name(name)) return fail(Code::kInvalid, hint);
    key.name = std::string(name) + ".";
    key.secret = line.substr(last + 1);
    if (!is_base64(key.secret)) return fail(Code::kInvalid, "the key's secret is no base64");
  }
  if (!found) return fail(Code::kInvalid, hint);
  return key;
}

bool is_domain_name(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax) return false;
  while (!name.empty()) {
    const auto end = std::min(name.find('.'), name.size());
    const auto label = name.substr(0, end);
    if (label.empty() || label.size() > kLabelBytesMax ||
        !std::all_of(label.begin(), label.end(), is_label_character))
      return false;
    if (end + 1 == name.size()) return false;  // a dot at the end
    name.remove_prefix(std::min(end + 1, name.size()));
  }
  return true;
}

bool is_within(std::string_view name, std::string_view zone) {
  if (name.size() < zone.size()) return false;
  const auto tail = name.substr(name.size() - zone.size());
  const bool same = std::equal(tail.begin(), tail.end(), zone.begin(), [](char a, char b) {
    const auto lower = [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    return lower(a) == lower(b);
  });
  return same && (name.size() == zone.size() || name[name.size() - zone.size() - 1] == '.');
}

}  // namespace icon::agent
