// Which records of a service's name are to be added and taken away so that it leads to where the
// ICON and its replicas serve, and to nobody else's loss. Pure; dns_update.h carries it out.
//
// What an ICON has added it marks, in TXT records beside the name, at _icon.NAME:
// "v=icon1 id=ID a=ADDRESS until=UTC_MS". It takes away an address with its own mark, or with one
// that is over: whoever wrote that has died. Never one that somebody else's mark still holds.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/json.h"

namespace icon::agent {

inline constexpr std::size_t kDnsAddressesMax = 64;   // of one name, as of one request
inline constexpr std::size_t kDnsKeyBytesMax = 4096;  // of a key file
inline constexpr std::string_view kDnsMarkLabel = "_icon";
inline constexpr Millis kDnsMarkLife{7'200'000};  // renewed when half of it is over
// Past a mark's end until others take it away: more than two clocks may differ that a server takes
// updates from (RFC 8945, 10: 5 min each).
inline constexpr Millis kDnsMarkGrace{900'000};

// What the ICON wants of the name. Without any secret: where the key lies, not what it is.
struct DnsRequest {
  Endpoint server;
  std::string zone;
  std::string name;
  std::string key_file;
  std::int64_t ttl_s = 0;
  std::string owner;  // the ICON's id
  std::vector<Address> want;
  UtcMillis now_ms = 0;

  json::Object to_json() const;
  static Result<DnsRequest> from_json(const json::Object& object);  // Errors: kInvalid
};

// How it ended.
struct DnsOutcome {
  std::string code;  // "" when the name is as it was wanted; else "refused", "badkey", "timeout"...
  std::string message;
  std::vector<Address> added;
  std::vector<Address> removed;
  std::vector<Address> foreign;  // wanted, and there already by somebody else's hand

  json::Object to_json() const;
  static Result<DnsOutcome> from_json(const json::Object& object);  // Errors: kInvalid
};

struct DnsSeen {
  std::vector<Address> addresses;
  std::vector<std::string> texts;  // at _icon.NAME
};

struct DnsPlan {
  std::vector<Address> add;
  std::vector<Address> remove;
  std::vector<std::string> add_marks;
  std::vector<std::string> remove_marks;  // as they were seen
  std::vector<Address> foreign;
  bool empty() const {
    return add.empty() && remove.empty() && add_marks.empty() && remove_marks.empty();
  }
};

std::string dns_mark(std::string_view owner, const Address& address, UtcMillis until_ms);
DnsPlan plan_dns(const DnsSeen& seen, std::string_view owner, const std::vector<Address>& want,
                 UtcMillis now_ms);

json::Array addresses_json(const std::vector<Address>& addresses);
Result<std::vector<Address>> read_addresses(const json::Object& object, std::string_view key);

// "[ALGORITHM:]NAME:SECRET", one line, as kdig -y takes it; empty lines and lines with # are passed
// over. Wiped when it goes.
struct TsigKey {
  std::string algorithm = "hmac-sha256.";
  std::string name;
  std::string secret;  // base64

  TsigKey() = default;
  ~TsigKey();
  TsigKey(TsigKey&& other) noexcept = default;
  TsigKey& operator=(TsigKey&&) noexcept = default;
  TsigKey(const TsigKey&) = delete;
};
// Errors: kInvalid; the message never holds any of the text.
Result<TsigKey> parse_tsig_key(std::string_view text);

// Labels of letters, digits, '-' and '_', at most 253 characters: "www.example.com".
bool is_domain_name(std::string_view name);
// The zone itself or a name below it.
bool is_within(std::string_view name, std::string_view zone);

}  // namespace icon::agent
