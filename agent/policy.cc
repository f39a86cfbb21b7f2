#include "agent/policy.h"

#include <fmt/format.h>

namespace icon::agent {
namespace {

json::Array array_of(const std::vector<std::string>& texts) {
  json::Array array;
  for (const auto& text : texts) array.emplace_back(text);
  return array;
}

json::Object to_json(const ConfiguredProvider& provider) {
  json::Object object{
      {"name", provider.name}, {"id", provider.id}, {"api", provider.api.to_string()}};
  if (provider.rtt_us) object["rtt_us"] = *provider.rtt_us;
  json::Array near;
  for (const auto& prefix : provider.near) near.emplace_back(prefix.to_string());
  object["near"] = std::move(near);
  return object;
}

}  // namespace

std::string_view to_string(RedirectMode mode) {
  return mode == RedirectMode::kRedirect ? "redirect" : "forward";
}

std::string_view to_string(DnssecMode mode) {
  switch (mode) {
    case DnssecMode::kRequire:
      return "require";
    case DnssecMode::kOff:
      return "off";
    case DnssecMode::kAuto:
      break;
  }
  return "auto";
}

std::string_view to_string(DnsUpdatePolicy::Own own) {
  switch (own) {
    case DnsUpdatePolicy::Own::kAdd:
      return "add";
    case DnsUpdatePolicy::Own::kReplace:
      return "replace";
    case DnsUpdatePolicy::Own::kOff:
      break;
  }
  return "off";
}

std::string PolicyProblem::to_string() const {
  std::string text = line > 0 ? fmt::format("line {}: ", line) : std::string();
  if (!key.empty()) text += key + ": ";
  text += message + ".";
  if (!hint.empty()) text += " " + hint;
  return text;
}

json::Object Policy::to_json() const {
  json::Object object{{"name", name},
                      {"version", version},
                      {"objective_us", objective_us},
                      {"percentile", percentile},
                      {"budget_ucredits", budget_ucredits},
                      {"budget_lasts_ms", budget_lasts_ms},
                      {"value_ucredits", value_ucredits},
                      {"margin_ucredits", margin_ucredits},
                      {"horizon_ms", horizon_ms},
                      {"interval_ms", interval_ms},
                      {"cooldown_ms", cooldown_ms},
                      {"rounds", rounds},
                      {"moves_per_hour", moves_per_hour},
                      {"window_ms", window_ms},
                      {"allow", array_of(allow)},
                      {"deny", array_of(deny)},
                      {"residency", json::Object{{"countries", array_of(residency.countries)},
                                                 {"kinds", array_of(residency.kinds)}}},
                      {"redirect", agent::to_string(redirect)},
                      {"slot", slot.to_json()},
                      {"slot_seconds", slot_seconds},
                      {"renew", agent::to_string(renew)},
                      {"bids", bids},
                      {"record_bytes", record_bytes}};
  object["max_price_ucredits"] =
      max_price_ucredits ? json::Value(*max_price_ucredits) : json::Value(nullptr);
  json::Array listed;
  for (const auto& provider : providers) listed.push_back(agent::to_json(provider));
  object["providers"] = std::move(listed);
  json::Array ports;
  for (const auto port : watch) ports.push_back(port);
  object["dns"] = json::Object{{"dnssec", agent::to_string(dns.dnssec)},
                               {"anchors", array_of(dns.anchors)},
                               {"servers", array_of(dns.servers)}};
  object["sources"] = json::Object{{"reverse_tree", sources.reverse_tree}, {"dht", sources.dht}};
  object["promise"] =
      json::Object{{"pings", ask_pings}, {"window_ms", promise_window_ms}, {"keep", promise_keep}};
  object["replicate"] = json::Object{{"mode", wire::to_string(replicate.mode)},
                                     {"command", array_of(replicate.command)},
                                     {"signal", replicate.signal},
                                     {"limit_ms", replicate.limit_ms},
                                     {"max", replicate.max},
                                     {"share_percent", replicate.share_percent},
                                     {"remember_ms", replicate.remember_ms},
                                     {"drain_ms", replicate.drain_ms}};
  if (dns_update)
    object["dns_update"] = json::Object{{"server", dns_update->server.to_string()},
                                        {"zone", dns_update->zone},
                                        {"name", dns_update->name},
                                        {"key_file", dns_update->key_file},
                                        {"ttl_s", dns_update->ttl_s},
                                        {"own", agent::to_string(dns_update->own)}};
  object["watch"] = std::move(ports);
  return object;
}

budget::DecisionPolicy Policy::decision_policy() const {
  budget::DecisionPolicy decision;
  decision.objective_us = objective_us;
  decision.percentile = percentile;
  decision.value_per_connection_hour_ucredits = value_ucredits;
  decision.horizon_ms = horizon_ms;
  decision.margin_ucredits = margin_ucredits;
  decision.lasts_ms = budget_lasts_ms;
  decision.rounds = rounds;
  decision.moves_per_hour = moves_per_hour;
  decision.cooldown_ms = cooldown_ms;
  decision.max_price_ucredits = max_price_ucredits;
  decision.providers = {allow, deny};
  decision.residency = residency;
  return decision;
}

}  // namespace icon::agent
