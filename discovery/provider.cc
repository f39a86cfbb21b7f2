#include "discovery/provider.h"

#include <algorithm>

namespace icon::discovery {
namespace {

constexpr std::string_view kVersion = "v=icon1";
constexpr std::size_t kNameCharactersMax = 253;
constexpr std::int64_t kSrvNumberMax = 65'535;

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}

// The next word, taken off the front of `text`; empty at the end.
std::string_view take_word(std::string_view& text) {
  const auto begin = std::min(text.find_first_not_of(' '), text.size());
  const auto end = std::min(text.find(' ', begin), text.size());
  const auto word = text.substr(begin, end - begin);
  text.remove_prefix(end);
  return word;
}

Status take_pair(std::string_view key, std::string_view value, ProviderText& found) {
  const auto set = [&](std::string& field) -> Status {
    if (!field.empty())
      return fail(Code::kInvalid, "TXT record: '" + std::string(key) + "' is given twice");
    field = value;
    return {};
  };
  if (key == "loc") return set(found.location);
  if (key == "tee") return set(found.attestation);
  if (key == "host") {
    if (!found.host.empty()) return fail(Code::kInvalid, "TXT record: 'host' is given twice");
    auto host = normalise_name(value);
    if (!host) return fail(Code::kInvalid, "TXT record: 'host' is no host name");
    found.host = std::move(*host);
  }
  if (key == "id") {
    if (found.id) return fail(Code::kInvalid, "TXT record: 'id' is given twice");
    auto id = PublicKey::from_id(value);
    if (!id) return fail(Code::kInvalid, "TXT record: 'id' is no public key");
    found.id = *id;
  }
  return {};  // other keys are for versions to come
}

// True when both speak of one provider.
bool same_provider(const ProviderCandidate& a, const ProviderCandidate& b) {
  if (a.id && b.id) return *a.id == *b.id;
  return a.api == b.api;
}

bool has_api(const ProviderCandidate& provider, const Endpoint& api) {
  return provider.api == api || std::find(provider.other_apis.begin(), provider.other_apis.end(),
                                          api) != provider.other_apis.end();
}

void absorb(ProviderCandidate& first, const ProviderCandidate& second) {
  if (!first.id) first.id = second.id;
  if (first.domain.empty()) first.domain = second.domain;
  if (first.location.empty()) first.location = second.location;
  if (first.attestation.empty()) first.attestation = second.attestation;
  // The hop nearest the users says most about them.
  if (second.hop_ttl > first.hop_ttl) {
    first.hop_ttl = second.hop_ttl;
    first.hop_rtt_us = second.hop_rtt_us;
  }
  std::vector<Endpoint> apis = second.other_apis;
  apis.insert(apis.begin(), second.api);
  for (const Endpoint& api : apis) {
    if (first.other_apis.size() == kOtherApisMax) break;
    if (!has_api(first, api)) first.other_apis.push_back(api);
  }
}

}  // namespace

json::Object ProviderCandidate::to_json() const {
  json::Array others;
  for (const Endpoint& endpoint : other_apis) others.push_back(json::Value(endpoint.to_string()));
  return {{"name", name},
          {"id", id ? id->id() : std::string()},
          {"api", api.to_string()},
          {"other_apis", std::move(others)},
          {"domain", domain},
          {"location", location},
          {"attestation", attestation},
          {"source", source},
          {"dnssec", to_string(dnssec)},
          {"priority", priority},
          {"weight", weight},
          {"hop_ttl", hop_ttl},
          {"hop_rtt_us", hop_rtt_us}};
}

json::Object Rejection::to_json() const { return {{"subject", subject}, {"reason", reason}}; }

bool is_provider_text(std::string_view text) { return take_word(text) == kVersion; }

Result<ProviderText> parse_provider_text(std::string_view text) {
  if (text.size() > kProviderTextBytesMax)
    return fail(Code::kLimit,
                "TXT record: more than " + std::to_string(kProviderTextBytesMax) + " bytes");
  if (!is_printable(text)) return fail(Code::kInvalid, "TXT record: not printable ASCII");
  if (take_word(text) != kVersion)
    return fail(Code::kInvalid, "TXT record: does not begin with " + std::string(kVersion));
  ProviderText found;
  for (auto word = take_word(text); !word.empty(); word = take_word(text)) {
    const auto equals = word.find('=');
    if (equals == std::string_view::npos || equals == 0)
      return fail(Code::kInvalid, "TXT record: a word that is not key=value");
    const auto value = word.substr(equals + 1);
    if (value.size() > kProviderTextValueBytesMax)
      return fail(Code::kLimit, "TXT record: a value of more than " +
                                    std::to_string(kProviderTextValueBytesMax) + " bytes");
    ICON_CHECK(take_pair(word.substr(0, equals), value, found));
  }
  return found;
}

Result<ProviderCandidate> provider_from_json(const json::Object& object) {
  ProviderCandidate provider;
  provider.source = "configured";
  ICON_TRY(provider.name, json::get_string(object, "name", kNameCharactersMax));
  if (provider.name.empty() || !is_printable(provider.name))
    return fail(Code::kInvalid, "provider: 'name' must be printable and not empty");
  const std::string what = "provider " + provider.name;
  ICON_TRY(const std::string api, json::get_string(object, "api", 64));
  ICON_TRY(provider.api, Endpoint::parse(api));
  if (provider.api.port == 0) return fail(Code::kInvalid, what + ": 'api' has port 0");
  ICON_TRY(const std::string id, json::get_string_or(object, "id", "", 64));
  if (!id.empty()) {
    ICON_TRY(provider.id, PublicKey::from_id(id));
  }
  ICON_TRY(const std::string domain, json::get_string_or(object, "domain", "", kNameCharactersMax));
  if (!domain.empty()) {
    ICON_TRY(provider.domain, normalise_name(domain));
  }
  ICON_TRY(provider.location,
           json::get_string_or(object, "location", "", kProviderTextValueBytesMax));
  if (!is_printable(provider.location))
    return fail(Code::kInvalid, what + ": 'location' is not printable");
  ICON_TRY(const auto priority, json::get_int_or(object, "priority", 0, 0, kSrvNumberMax));
  ICON_TRY(const auto weight, json::get_int_or(object, "weight", 0, 0, kSrvNumberMax));
  provider.priority = static_cast<int>(priority);
  provider.weight = static_cast<int>(weight);
  return provider;
}

void merge_providers(std::vector<ProviderCandidate>& providers, std::vector<Rejection>& rejected) {
  std::vector<ProviderCandidate> merged;
  for (ProviderCandidate& candidate : providers) {
    const auto same = std::find_if(merged.begin(), merged.end(), [&](const auto& known) {
      return same_provider(known, candidate);
    });
    if (same != merged.end()) {
      absorb(*same, candidate);
      continue;
    }
    // An announcement must not draw a configured provider's address to another key.
    const auto rival = std::find_if(merged.begin(), merged.end(), [&](const auto& known) {
      return known.source == "configured" && candidate.source != "configured" &&
             has_api(known, candidate.api);
    });
    if (rival != merged.end()) {
      rejected.push_back(
          {candidate.name + " at " + candidate.api.to_string(),
           "another id than the configured provider " + rival->name + " at the same address"});
      continue;
    }
    merged.push_back(std::move(candidate));
  }
  providers = std::move(merged);
}

}  // namespace icon::discovery
