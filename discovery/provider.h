// What discovery hands on: providers as they announce themselves. Nothing here is proven yet: the
// offer, signed with the key behind `id`, is the proof.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/json.h"
#include "base/keys.h"
#include "base/result.h"
#include "discovery/dns_message.h"

namespace icon::discovery {

inline constexpr std::size_t kOtherApisMax = 4;

struct ProviderCandidate {
  std::string name;                    // the domain, or what the operator called it
  std::optional<PublicKey> id;         // absent: any key may answer at `api`
  Endpoint api;                        // the provider's supervisor, TLS
  std::vector<Endpoint> other_apis;    // further addresses of the same provider, best first
  std::string domain;                  // registrable domain; empty when configured without one
  std::string location;                // the provider's own words; printable ASCII
  std::string attestation;             // "tee=", the same
  std::string source;                  // "dns", "reverse", "dht" or "configured"
  Dnssec dnssec = Dnssec::kUnchecked;  // of what named the id and the host
  int priority = 0;                    // RFC 2782: lower first
  int weight = 0;
  int hop_ttl = 0;              // the hop through which it was found, nearest the users; 0: none
  std::int64_t hop_rtt_us = 0;  // our RTT to that hop

  json::Object to_json() const;
};

// Something a stranger, or a configuration, said that was not taken, and why.
struct Rejection {
  std::string subject;
  std::string reason;

  json::Object to_json() const;
  bool operator==(const Rejection&) const = default;
};

// The TXT record beside the SRV record: "v=icon1 id=<52 characters> loc=... tee=... host=...".
struct ProviderText {
  std::optional<PublicKey> id;
  std::string location;
  std::string attestation;
  std::string host;  // normalised; not empty: only for the SRV record with this target
};

inline constexpr std::size_t kProviderTextBytesMax = 1024;
inline constexpr std::size_t kProviderTextValueBytesMax = 128;

// True when the record means to be ours ("v=icon1 ..."); other TXT records are none of our
// business.
bool is_provider_text(std::string_view text);
// Errors: kInvalid for what is not printable ASCII, a key given twice, an id that is no key;
// kLimit.
Result<ProviderText> parse_provider_text(std::string_view text);

// One configured provider: {"name","id"?,"api","domain"?,"location"?,"priority"?,"weight"?}, as in
// GET /v1/self and in a policy. Errors: kInvalid.
Result<ProviderCandidate> provider_from_json(const json::Object& object);

// A provider found twice is one: by id, or by api where one of the two has no id. The first entry
// wins and takes over what it lacks; a later one that claims the api of an earlier one under
// another id is rejected if the earlier was configured.
void merge_providers(std::vector<ProviderCandidate>& providers, std::vector<Rejection>& rejected);

}  // namespace icon::discovery
