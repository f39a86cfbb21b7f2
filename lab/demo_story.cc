#include "lab/demo_story.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

namespace icon::lab {
namespace {

using Lines = std::vector<std::string>;

constexpr std::size_t kItemsMax = 4096;
constexpr std::size_t kMessageBytesMax = 4096;

std::string text(const json::Object& object, std::string_view key) {
  return json::get_string_or(object, key, "", kMessageBytesMax).value_or("");
}

std::int64_t number(const json::Object& object, std::string_view key) {
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  return json::get_int_or(object, key, 0, -kMax, kMax).value_or(0);
}

bool has_number(const json::Object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  return value != nullptr && value->is_int64();
}

// The objects of an array; none when there is no such array.
std::vector<const json::Object*> objects(const json::Object& object, std::string_view key) {
  std::vector<const json::Object*> items;
  const auto array = json::get_array(object, key, kItemsMax);
  if (!array) return items;
  for (const auto& item : **array)
    if (const auto* entry = item.if_object()) items.push_back(entry);
  return items;
}

std::string plural(std::int64_t count, std::string_view one) {
  return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

std::string host_of(const std::string& api) { return api.substr(0, api.rfind(':')); }

}  // namespace

std::string DemoStory::name_of(const std::string& key) const {
  const auto found = names_.find(key);
  return found == names_.end() ? key : found->second;
}

// The words of others speak of domains; the reader of the demo sees hosts.
std::string DemoStory::with_hosts(std::string message) const {
  for (const auto& [key, host] : names_) {
    if (key.find('.') == std::string::npos) continue;  // an id
    for (std::size_t at = 0; (at = message.find(key, at)) != std::string::npos; at += host.size())
      message.replace(at, key.size(), host);
  }
  return message;
}

void DemoStory::reject(const std::string& domain, const std::string& api, const std::string& reason,
                       const std::string& message) {
  // Being there already, or not being the best, is no fault of the provider.
  if (reason == "current_host" || reason == "outbid" || reason == "won" || reason.empty()) return;
  auto name = name_of(domain);
  if (name == domain && !api.empty() && names_.contains(host_of(api))) name = name_of(host_of(api));
  rejected_[name] = {name, domain, reason, with_hosts(message)};
}

std::vector<RejectedProvider> DemoStory::rejected() const {
  std::vector<RejectedProvider> list;
  for (const auto& [name, provider] : rejected_) list.push_back(provider);
  return list;
}

Lines DemoStory::agent_event(const json::Object& event) {
  const auto kind = text(event, "event");
  const auto provider = name_of(text(event, "provider"));
  Lines lines;
  const auto tell = [&](const std::string& once, std::string line) {
    if (told_.insert(kind + ' ' + once).second) lines.push_back(std::move(line));
  };
  const auto migration = text(event, "migration");
  const auto reason = text(event, "reason");
  if (kind == "discovery.done") {
    tell("", fmt::format(
                 "The agent traces {}: {}, {} of networks, {} announced in the DNS ({}, {})",
                 plural(number(event, "users"), "user"), plural(number(event, "hops"), "router"),
                 plural(number(event, "domains"), "domain"),
                 plural(number(event, "providers"), "provider"),
                 plural(number(event, "probes"), "probe"), ms_text(number(event, "took_us"))));
  } else if (kind == "offer.answer") {
    if (reason == "offered") {
      tell(provider, fmt::format("{} offers a slot for {}, {} from here", provider,
                                 credits_text(number(event, "price_ucredits")),
                                 ms_text(number(event, "connect_rtt_us"))));
    } else {
      reject(text(event, "provider"), text(event, "api"), reason, text(event, "message"));
      tell(provider + reason,
           fmt::format("{} is refused ({}): {}", provider, reason, text(event, "message")));
    }
  } else if (kind == "decision") {
    tell(std::to_string(number(event, "time_ms")),
         "It decides: " + with_hosts(text(event, "message")));
  } else if (kind == "purse.hold") {
    tell(migration, fmt::format("It sets {} aside for {}; {} stay free",
                                credits_text(number(event, "price_ucredits")), provider,
                                credits_text(number(event, "left_ucredits"))));
  } else if (kind == "lease.bought") {
    tell(migration, fmt::format("It buys: {} signs lease {}", provider, text(event, "lease")));
  } else if (kind == "migration.ordered") {
    tell(migration,
         fmt::format("It orders its supervisor to move it to {}", name_of(text(event, "to"))));
  } else if (kind == "migration.not_ordered") {
    tell(std::to_string(number(event, "time_ms")),
         fmt::format("No move to {}: {}", name_of(text(event, "to")), text(event, "message")));
  } else if (kind == "migration.ended") {
    tell(migration, fmt::format("The agent runs on: migration {}{}", text(event, "outcome"),
                                reason.empty() ? "" : " (" + reason + ")"));
  } else if (kind == "purse.settled") {
    tell(migration, fmt::format("It pays {} {}; {} are left", provider,
                                credits_text(number(event, "price_ucredits")),
                                credits_text(number(event, "left_ucredits"))));
  }
  return lines;
}

Lines DemoStory::paths(const json::Object& discovery) {
  std::map<std::string, std::string> names;
  for (const auto* name : objects(discovery, "names"))
    names[text(*name, "address")] = text(*name, "name");
  Lines lines;
  for (const auto* trace : objects(discovery, "traces")) {
    std::vector<std::string> hops;
    for (const auto* hop : objects(*trace, "hops")) {
      const auto address = text(*hop, "address");
      if (address.empty()) {
        hops.emplace_back("*");
        continue;
      }
      const auto name = names.find(address);
      hops.push_back(
          fmt::format("{} {}", name == names.end() || name->second.empty() ? address : name->second,
                      ms_text(number(*hop, "rtt_us"))));
    }
    const auto target = text(*trace, "target");
    if (!hops.empty() && told_.insert("path " + target).second)
      lines.push_back(fmt::format("The way to {}: {}", target, fmt::join(hops, ", ")));
  }
  return lines;
}

Lines DemoStory::decision(const json::Object& decision) {
  const auto inner = json::get_object(decision, "evidence");
  const json::Object& evidence = inner ? **inner : decision;
  Lines lines;
  if (const auto discovery = json::get_object(evidence, "discovery")) lines = paths(**discovery);
  // The figures that led to the move are told again: by then all users may have been seen.
  const std::string moves = text(evidence, "outcome") == "move" ? " move" : "";
  for (const auto* candidate : objects(evidence, "candidates")) {
    const auto domain = text(*candidate, "domain");
    const auto name = name_of(domain.empty() ? text(*candidate, "name") : domain);
    const auto reason = text(*candidate, "reason");
    const auto verdict = text(*candidate, "verdict");
    if (verdict == "rejected") reject(domain, "", reason, text(*candidate, "message"));
    if (reason == "current_host" || told_.contains("offer.answer " + name + reason) ||
        !told_.insert("candidate " + name + reason + moves).second)
      continue;
    std::vector<std::string> distances;
    for (const auto* estimate : objects(*candidate, "estimates"))
      if (has_number(*estimate, "rtt_us"))
        distances.push_back(fmt::format("{} from {}", ms_text(number(*estimate, "rtt_us")),
                                        text(*estimate, "prefix")));
    const auto away =
        distances.empty() ? "" : fmt::format(" would be {}", fmt::join(distances, " and "));
    lines.push_back(fmt::format("{}{}{}{}", name, away,
                                verdict == "won" ? ": leads, " : ": " + verdict + ", ",
                                with_hosts(text(*candidate, "message"))));
  }
  return lines;
}

Lines DemoStory::migration(const json::Object& migration) {
  const auto id = text(migration, "id");
  Lines lines;
  for (const auto* phase : objects(migration, "phases")) {
    const auto name = text(*phase, "name");
    if (!has_number(*phase, "took_us") || !told_.insert("phase " + id + name).second) continue;
    const auto bytes = number(*phase, "bytes");
    lines.push_back(fmt::format("  {:<10} {:>10}{}", name, ms_text(number(*phase, "took_us")),
                                bytes > 0 ? fmt::format("  {:>9}", bytes_text(bytes)) : ""));
  }
  return lines;
}

Lines DemoStory::status(const json::Object& status) {
  Lines lines;
  for (const auto* prefix : objects(status, "prefixes")) {
    const auto name = text(*prefix, "prefix");
    if (!has_number(*prefix, "rtt_us_p50") || !told_.insert("prefix " + name).second) continue;
    lines.push_back(fmt::format("The agent sees {} from {}, round trip {}",
                                plural(number(*prefix, "connections"), "connection"), name,
                                ms_text(number(*prefix, "rtt_us_p50"))));
  }
  return lines;
}

}  // namespace icon::lab
