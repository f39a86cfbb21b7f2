#include "agent/policy_reader.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>

#include "agent/dns_plan.h"
#include "agent/policy.h"
#include "agent/policy_yaml.h"
#include "wire/residence.h"

namespace icon::agent {
namespace {

constexpr std::size_t kAnchorBytesMax = 4096;
constexpr std::size_t kPathBytesMax = 4096;
constexpr std::uint16_t kDnsPort = 53;
constexpr std::pair<std::string_view, int> kHookSignals[] = {
    {"HUP", SIGHUP}, {"USR2", SIGUSR2}, {"WINCH", SIGWINCH}, {"ALRM", SIGALRM}};
constexpr std::int64_t kCpuMillisMax = 1'000'000;

}  // namespace

void PolicyReader::redirect(const YAML::Node& node, const std::string& key) {
  const char* hint =
      "Write 'forward' (everything follows through the tunnel) or 'redirect' (new HTTP requests "
      "are sent to the new host).";
  const auto value = text(node, key, hint);
  if (!value) return;
  if (*value == "forward")
    policy_.redirect = RedirectMode::kForward;
  else if (*value == "redirect")
    policy_.redirect = RedirectMode::kRedirect;
  else
    problem(node, key, fmt::format("'{}' does not do", value->substr(0, 40)), hint);
}

void PolicyReader::cpu(const YAML::Node& node, const std::string& key) {
  const char* hint = "Write cores with at most three decimals, like 0.5.";
  const auto value = text(node, key, hint);
  if (!value) return;
  const auto micro = budget::parse_credits(*value);  // the same kind of number: millionths
  if (!micro || *micro % 1000 != 0 || *micro / 1000 > kCpuMillisMax)
    problem(node, key, fmt::format("'{}' is no number of cores", value->substr(0, 40)), hint);
  else
    policy_.slot.cpu_millis = *micro / 1000;
}

void PolicyReader::port(const YAML::Node& node, const std::string& key) {
  std::int64_t number = 0;
  integer(number, 1, 65'535)(node, key);
  const auto port = static_cast<std::uint16_t>(number);
  if (port != 0 &&
      std::find(policy_.watch.begin(), policy_.watch.end(), port) == policy_.watch.end())
    policy_.watch.push_back(port);
}

void PolicyReader::provider(const YAML::Node& node, const std::string& key) {
  ConfiguredProvider provider;
  std::int64_t rtt_us = -1;
  bool has_api = false;
  map(node, key,
      {{"name", name(provider.name)},
       {"id",
        [&](const YAML::Node& entry, const std::string& entry_key) {
          const char* hint = "The 52 characters that 'icon provider dns-records' prints as id.";
          const auto value = text(entry, entry_key, hint);
          if (!value) return;
          if (PublicKey::from_id(*value))
            provider.id = *value;
          else
            problem(entry, entry_key, "is no provider id", hint);
        }},
       {"api",
        [&](const YAML::Node& entry, const std::string& entry_key) {
          has_api = true;
          const char* hint = "Write address:port, like 198.51.100.7:7946 or [2001:db8::7]:7946.";
          const auto value = text(entry, entry_key, hint);
          if (!value) return;
          const auto api = Endpoint::parse(*value);
          if (api && api->port != 0)
            provider.api = *api;
          else
            problem(entry, entry_key, fmt::format("'{}' is no API address", value->substr(0, 80)),
                    hint);
        }},
       {"rtt", duration(rtt_us, 1, 1, 60 * kUsPerSecond, "5ms")},
       {"near", [&](const YAML::Node& entry, const std::string& entry_key) {
          list(entry, entry_key, kPolicyListMax, [&](const YAML::Node& item, const auto& item_key) {
            const char* hint = "Write a network, like 198.51.100.0/24.";
            const auto value = text(item, item_key, hint);
            if (!value) return;
            if (const auto prefix = Prefix::parse(*value))
              provider.near.push_back(*prefix);
            else
              problem(item, item_key, fmt::format("'{}' is no network", value->substr(0, 80)),
                      hint);
          });
        }}});
  if (node.IsMap() && !has_api)
    problem(node, key, "has no api", "Say where it is: 'api: 198.51.100.7:7946'.");
  if (node.IsMap() && provider.name.empty())
    problem(node, key, "has no name", "Name it: 'name: edge-1'.");
  if (rtt_us > 0) provider.rtt_us = rtt_us;
  if (!provider.near.empty() && !provider.rtt_us)
    problem(node, key, "has 'near' but no 'rtt'", "Say how near: 'rtt: 5ms'.");
  policy_.providers.push_back(std::move(provider));
}

void PolicyReader::latency(const YAML::Node& node, const std::string& key) {
  map(node, key,
      {{"objective", duration(policy_.objective_us, 1, 100, 60 * kUsPerSecond, "20ms")},
       {"window", duration(policy_.window_ms, kUsPerMs, kUsPerSecond, kUsPerHour, "60s")},
       {"percentile", [this](const YAML::Node& entry, const std::string& entry_key) {
          integer(policy_.percentile, 50, 95)(entry, entry_key);
          if (policy_.percentile != 50 && policy_.percentile != 95)
            problem(entry, entry_key, "is neither 50 nor 95",
                    "50 is the middle one, 95 the slow ones.");
        }}});
}

void PolicyReader::slot(const YAML::Node& node, const std::string& key) {
  map(node, key,
      {{"cpu", [this](const auto& entry, const auto& entry_key) { cpu(entry, entry_key); }},
       {"memory", quantity(policy_.slot.memory_bytes, parse_bytes, 1LL << 50, "256MiB")},
       {"bandwidth",
        quantity(policy_.slot.bandwidth_bps, parse_bandwidth_bps, 1LL << 50, "100Mbit")},
       {"duration", duration(policy_.slot_seconds, kUsPerSecond, kUsPerSecond,
                             wire::kSlotSecondsMax * kUsPerSecond, "1h")},
       {"bids",
        [this](const YAML::Node& entry, const std::string& entry_key) {
          const char* hint = "Write true or false.";
          const auto value = text(entry, entry_key, hint);
          if (!value) return;
          if (*value == "true" || *value == "false")
            policy_.bids = *value == "true";
          else
            problem(entry, entry_key, fmt::format("'{}' does not do", value->substr(0, 40)), hint);
        }},
       {"renew", [this](const YAML::Node& entry, const std::string& entry_key) {
          const char* hint = "Write auto, keep, worth or never.";
          const auto value = text(entry, entry_key, hint);
          if (!value) return;
          for (const auto renew : {Renew::kAuto, Renew::kKeep, Renew::kWorth, Renew::kNever}) {
            if (*value != to_string(renew)) continue;
            policy_.renew = renew;
            return;
          }
          problem(entry, entry_key, fmt::format("'{}' does not do", value->substr(0, 40)), hint);
        }}});
}

void PolicyReader::dns(const YAML::Node& node, const std::string& key) {
  map(node, key,
      {{"dnssec",
        [this](const YAML::Node& entry, const std::string& entry_key) {
          const char* hint = "Write auto, require or off.";
          const auto value = text(entry, entry_key, hint);
          if (!value) return;
          for (const auto mode : {DnssecMode::kAuto, DnssecMode::kRequire, DnssecMode::kOff}) {
            if (*value != to_string(mode)) continue;
            policy_.dns.dnssec = mode;
            return;
          }
          problem(entry, entry_key, fmt::format("'{}' does not do", value->substr(0, 40)), hint);
        }},
       {"anchors",
        [this](const YAML::Node& entry, const std::string& entry_key) {
          list(entry, entry_key, kPolicyDnsMax, [&](const YAML::Node& item, const auto& item_key) {
            const char* hint = "Write a DS record: \"example. DS 12345 13 2 AB12...\".";
            const auto value = text(item, item_key, hint);
            if (!value) return;
            const bool record = value->find(" DS ") != std::string::npos ||
                                value->find(" DNSKEY ") != std::string::npos;
            if (record && value->size() <= kAnchorBytesMax)
              policy_.dns.anchors.push_back(*value);
            else
              problem(item, item_key, "is no trust anchor", hint);
          });
        }},
       {"servers", [this](const YAML::Node& entry, const std::string& entry_key) {
          list(entry, entry_key, kPolicyDnsMax, [&](const YAML::Node& item, const auto& item_key) {
            const char* hint = "Write an address, like 192.0.2.53 or 192.0.2.53:5353.";
            const auto value = text(item, item_key, hint);
            if (!value) return;
            if (Address::parse(*value) || Endpoint::parse(*value))
              policy_.dns.servers.push_back(*value);
            else
              problem(item, item_key, fmt::format("'{}' is no DNS server", value->substr(0, 80)),
                      hint);
          });
        }}});
}

void PolicyReader::dns_update(const YAML::Node& node, const std::string& key) {
  DnsUpdatePolicy update;
  const auto one = [this](const char* hint, auto take) {
    return [this, hint, take](const YAML::Node& entry, const std::string& entry_key) {
      const auto value = text(entry, entry_key, hint);
      if (value && !take(*value))
        problem(entry, entry_key, fmt::format("'{}' does not do", value->substr(0, 80)), hint);
    };
  };
  const auto server = [&update](const std::string& value) {
    if (const auto address = Address::parse(value)) {
      update.server = {*address, kDnsPort};
      return true;
    }
    const auto endpoint = Endpoint::parse(value);
    if (endpoint) update.server = *endpoint;
    return endpoint && endpoint->port != 0;
  };
  const auto key_file = [&update](const std::string& value) {
    update.key_file = value;
    return value.front() == '/' && value.size() <= kPathBytesMax;
  };
  const auto own = [&update](const std::string& value) {
    using Own = DnsUpdatePolicy::Own;
    for (const auto each : {Own::kOff, Own::kAdd, Own::kReplace}) {
      if (value != to_string(each)) continue;
      update.own = each;
      return true;
    }
    return false;
  };
  std::int64_t ttl_ms = update.ttl_s * 1000;
  map(node, key,
      {{"server", one("Write an address, like 192.0.2.53 or 192.0.2.53:5353.", server)},
       {"zone", domain(update.zone)},
       {"name", domain(update.name)},
       {"key_file", one("Write a path inside the container, from its root.", key_file)},
       {"ttl", duration(ttl_ms, kUsPerMs, kUsPerSecond, 24 * kUsPerHour, "30s")},
       {"own", one("Write off, add or replace.", own)}});
  if (!node.IsMap()) return;
  if (update.server.port == 0 || update.zone.empty() || update.name.empty())
    problem(node, key, "lacks one of server, zone and name",
            "Say which server keeps which zone, and which name in it is the service's.");
  else if (!is_within(update.name, update.zone))
    problem(node, key, fmt::format("{} is not in the zone {}", update.name, update.zone),
            "Write the whole name, like www.example.com in the zone example.com.");
  update.ttl_s = ttl_ms / 1000;
  policy_.dns_update = std::move(update);
}

void PolicyReader::promise(const YAML::Node& node, const std::string& key) {
  map(node, key,
      {{"window",
        duration(policy_.promise_window_ms, kUsPerMs, kUsPerSecond, 24 * kUsPerHour, "2m")},
       {"keep", integer(policy_.promise_keep, 1, 100)},
       {"pings", flag(policy_.ask_pings)}});
}

void PolicyReader::residency(const YAML::Node& node, const std::string& key) {
  map(node, key,
      {{"countries",
        words(policy_.residency.countries, wire::is_country, "Two capital letters, like DE.")},
       {"kinds", words(policy_.residency.kinds, wire::is_provider_kind,
                       "A word of small letters, like access, campus or cloud.")}});
}

void PolicyReader::sources(const YAML::Node& node, const std::string& key) {
  map(node, key,
      {{"reverse_tree", flag(policy_.sources.reverse_tree)}, {"dht", flag(policy_.sources.dht)}});
}

void PolicyReader::replicate(const YAML::Node& node, const std::string& key) {
  auto& replicate = policy_.replicate;
  map(node, key,
      {{"mode",
        [&](const YAML::Node& entry, const std::string& entry_key) {
          const char* hint = "Write clone (of the running service) or fresh (of its image).";
          const auto value = text(entry, entry_key, hint);
          if (!value) return;
          for (const auto mode : {wire::Birth::Mode::kClone, wire::Birth::Mode::kFresh}) {
            if (*value != wire::to_string(mode)) continue;
            replicate.mode = mode;
            return;
          }
          problem(entry, entry_key, fmt::format("'{}' does not do", value->substr(0, 40)), hint);
        }},
       {"command",
        [&](const YAML::Node& entry, const std::string& entry_key) {
          list(entry, entry_key, kPolicyArgumentsMax, [&](const auto& item, const auto& item_key) {
            const auto value = text(item, item_key, "Write a program and its arguments.");
            if (value) replicate.command.push_back(*value);
          });
        }},
       {"signal",
        [&](const YAML::Node& entry, const std::string& entry_key) {
          const char* hint = "Write HUP, USR2, WINCH or ALRM.";
          const auto value = text(entry, entry_key, hint);
          if (!value) return;
          for (const auto& [name, number] : kHookSignals) {
            if (*value != name) continue;
            replicate.signal = number;
            return;
          }
          problem(entry, entry_key, fmt::format("'{}' does not do", value->substr(0, 40)), hint);
        }},
       {"limit", duration(replicate.limit_ms, kUsPerMs, 10 * kUsPerMs, 10 * kUsPerSecond, "5s")},
       {"max", integer(replicate.max, 0, 16)},
       {"share", integer(replicate.share_percent, 0, 50)},
       {"remember", duration(replicate.remember_ms, kUsPerMs, 0, 300 * kUsPerSecond, "30s")},
       {"drain", duration(replicate.drain_ms, kUsPerMs, kUsPerSecond, kUsPerHour, "60s")}});
}

void PolicyReader::root(const YAML::Node& node) {
  const auto member = [this](void (PolicyReader::*method)(const YAML::Node&, const std::string&)) {
    return [this, method](const YAML::Node& entry, const std::string& key) {
      (this->*method)(entry, key);
    };
  };
  const auto money = [this](wire::MicroCredits& out) {
    return credits([&out](wire::MicroCredits amount) { out = amount; });
  };
  map(node, "",
      {{"name", name(policy_.name)},
       {"version", integer(policy_.version, 1, std::numeric_limits<std::int32_t>::max())},
       {"latency", member(&PolicyReader::latency)},
       {"budget", money(policy_.budget_ucredits)},
       {"budget_lasts", duration(policy_.budget_lasts_ms, kUsPerMs, 0, kUsPerYear, "24h")},
       {"value", money(policy_.value_ucredits)},
       {"margin", money(policy_.margin_ucredits)},
       {"max_price",
        credits([this](wire::MicroCredits amount) { policy_.max_price_ucredits = amount; })},
       {"horizon", duration(policy_.horizon_ms, kUsPerMs, kUsPerSecond, kUsPerYear, "1h")},
       {"interval",
        duration(policy_.interval_ms, kUsPerMs, 100 * kUsPerMs, 24 * kUsPerHour, "10s")},
       {"cooldown", duration(policy_.cooldown_ms, kUsPerMs, 0, kUsPerYear, "1m")},
       {"rounds", integer(policy_.rounds, 1, 1000)},
       {"moves_per_hour", integer(policy_.moves_per_hour, 1, budget::kMovesPerHourMax)},
       {"allow", patterns(policy_.allow)},
       {"deny", patterns(policy_.deny)},
       {"residency", member(&PolicyReader::residency)},
       {"redirect", member(&PolicyReader::redirect)},
       {"slot", member(&PolicyReader::slot)},
       {"dns", member(&PolicyReader::dns)},
       {"dns_update", member(&PolicyReader::dns_update)},
       {"sources", member(&PolicyReader::sources)},
       {"promise", member(&PolicyReader::promise)},
       {"replicate", member(&PolicyReader::replicate)},
       {"providers",
        [this](const YAML::Node& entry, const std::string& key) {
          list(entry, key, kPolicyListMax,
               [this](const YAML::Node& item, const std::string& item_key) {
                 provider(item, item_key);
               });
        }},
       {"record", quantity(policy_.record_bytes, parse_bytes, 64LL << 20, "8MiB")},
       {"watch", [this](const YAML::Node& entry, const std::string& key) {
          list(entry, key, kPolicyPortsMax,
               [this](const YAML::Node& item, const std::string& item_key) {
                 port(item, item_key);
               });
        }}});
}

// What is well-formed, but cannot be meant.
void PolicyReader::contradictions() {
  if (policy_.max_price_ucredits && *policy_.max_price_ucredits > policy_.budget_ucredits)
    problem_at(lines_["max_price"], "max_price", "is more than the whole budget",
               "Raise budget or lower max_price.");
  if (policy_.replicate.max > 0 && policy_.redirect != RedirectMode::kRedirect)
    problem_at(lines_["replicate.max"], "replicate.max",
               "wants replicas, and nobody could lead users to them",
               "Write 'redirect: redirect': HTTP users are then sent to the nearest one.");
  std::set<std::string> names;
  for (const auto& provider : policy_.providers)
    if (!provider.name.empty() && !names.insert(provider.name).second)
      problem_at(lines_["providers"], "providers",
                 fmt::format("two are called '{}'", provider.name), "Give each its own name.");
}

PolicyReading PolicyReader::read(std::string_view yaml) {
  if (yaml.size() > kPolicyBytesMax)
    problem_at(0, "", fmt::format("the policy has more than {} bytes", kPolicyBytesMax),
               "Shorten it.");
  try {
    if (problems_.empty()) {
      const std::string text(yaml);
      const auto count = count_documents(text);
      if (count.documents > 1)
        problem_at(count.last_line, "", "a second document begins here",
                   "Keep one: look for '---' or a bracket too many.");
      else if (const auto document = YAML::Load(text); !document.IsNull())
        root(document);
    }
    if (problems_.empty()) contradictions();
  } catch (const YAML::Exception& error) {
    problem_at(error.mark.is_null() ? 0 : error.mark.line + 1, "", "not YAML: " + error.msg,
               "Check indentation, colons and quotes there.");
  } catch (const std::exception& error) {
    problem_at(0, "", std::string("the policy cannot be read: ") + error.what(),
               "Check indentation, colons and quotes.");
  }
  if (!problems_.empty()) return {std::nullopt, std::move(problems_)};
  return {std::move(policy_), {}};
}

PolicyReading read_policy(std::string_view yaml) { return PolicyReader().read(yaml); }

Result<Policy> parse_policy(std::string_view yaml) {
  auto reading = read_policy(yaml);
  if (reading.policy) return std::move(*reading.policy);
  std::string text;
  for (const auto& problem : reading.problems)
    text += (text.empty() ? "" : "\n") + problem.to_string();
  return fail(Code::kInvalid, std::move(text));
}

}  // namespace icon::agent
