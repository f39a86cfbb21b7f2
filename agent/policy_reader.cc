#include <fmt/format.h>
#include <signal.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <limits>
#include <map>
#include <set>

#include "agent/dns_plan.h"
#include "agent/policy.h"
#include "agent/policy_yaml.h"
#include "wire/residence.h"

namespace icon::agent {
namespace {

constexpr std::int64_t kUsPerMs = 1'000;
constexpr std::int64_t kUsPerSecond = 1'000'000;
constexpr std::int64_t kUsPerHour = 3'600 * kUsPerSecond;
constexpr std::int64_t kUsPerYear = 366 * 24 * kUsPerHour;
constexpr std::size_t kPatternBytesMax = 255;
constexpr std::size_t kAnchorBytesMax = 4096;
constexpr std::size_t kPathBytesMax = 4096;
constexpr std::uint16_t kDnsPort = 53;
constexpr std::pair<std::string_view, int> kHookSignals[] = {
    {"HUP", SIGHUP}, {"USR2", SIGUSR2}, {"WINCH", SIGWINCH}, {"ALRM", SIGALRM}};
constexpr std::int64_t kCpuMillisMax = 1'000'000;

// Reads one document and collects every problem. A member per key; the tables at the end say which
// key goes where, so that an unknown one can name those that exist.
class Reader {
 public:
  PolicyReading read(std::string_view yaml);

 private:
  using Handler = std::function<void(const YAML::Node&, const std::string& key)>;
  using Table = std::vector<std::pair<std::string_view, Handler>>;

  void problem(const YAML::Node& node, const std::string& key, std::string message,
               std::string hint) {
    int line = node.Mark().is_null() ? 0 : node.Mark().line + 1;
    // YAML sees a missing value where the next line begins.
    if (const auto found = lines_.find(key); node.IsNull() && found != lines_.end())
      line = found->second;
    problem_at(line, key, std::move(message), std::move(hint));
  }
  void problem_at(int line, const std::string& key, std::string message, std::string hint) {
    if (problems_.size() < kPolicyProblemsMax)
      problems_.push_back({line, key, std::move(message), std::move(hint)});
  }

  // Walks a map: unknown and repeated keys are problems, each known one goes to its handler.
  void map(const YAML::Node& node, const std::string& path, const Table& table);
  void list(const YAML::Node& node, const std::string& key, std::size_t items_max,
            const Handler& item);
  std::optional<std::string> text(const YAML::Node& node, const std::string& key,
                                  std::string_view hint);

  Handler duration(std::int64_t& out, std::int64_t unit_us, std::int64_t min_us,
                   std::int64_t max_us, std::string example);
  Handler integer(std::int64_t& out, std::int64_t min, std::int64_t max);
  Handler flag(bool& out);
  Handler credits(std::function<void(wire::MicroCredits)> store);
  Handler quantity(std::int64_t& out, Result<std::int64_t> (*parse)(std::string_view),
                   std::int64_t max, std::string example);
  Handler name(std::string& out);
  Handler patterns(std::vector<std::string>& out);
  void redirect(const YAML::Node& node, const std::string& key);
  void replicate(const YAML::Node& node, const std::string& key);
  void cpu(const YAML::Node& node, const std::string& key);
  void port(const YAML::Node& node, const std::string& key);
  void provider(const YAML::Node& node, const std::string& key);
  void latency(const YAML::Node& node, const std::string& key);
  void slot(const YAML::Node& node, const std::string& key);
  void dns(const YAML::Node& node, const std::string& key);
  void dns_update(const YAML::Node& node, const std::string& key);
  Handler domain(std::string& out);
  void sources(const YAML::Node& node, const std::string& key);
  void promise(const YAML::Node& node, const std::string& key);
  void residency(const YAML::Node& node, const std::string& key);
  Handler words(std::vector<std::string>& out, bool (*fits)(std::string_view), const char* hint);
  void root(const YAML::Node& node);
  void contradictions();

  Policy policy_;
  std::vector<PolicyProblem> problems_;
  std::map<std::string, int> lines_;  // of each key, for what only shows at the end
};

void Reader::map(const YAML::Node& node, const std::string& path, const Table& table) {
  const std::string where = path.empty() ? "the policy" : path;
  if (!node.IsMap()) {
    problem(node, path, where + " must be a map of keys and values", "Write 'key: value' lines.");
    return;
  }
  std::vector<std::string_view> known;
  for (const auto& [key, handler] : table) known.push_back(key);
  std::set<std::string> seen;
  for (const auto& entry : node) {
    if (problems_.size() >= kPolicyProblemsMax) return;
    if (!entry.first.IsScalar()) {
      problem(entry.first, path, "a key must be plain text", "Write 'key: value'.");
      continue;
    }
    const std::string key = entry.first.Scalar().substr(0, 64);
    const std::string full = path.empty() ? key : path + "." + key;
    const auto found =
        std::find_if(table.begin(), table.end(), [&](const auto& row) { return row.first == key; });
    if (found == table.end()) {
      const auto guess = nearest_key(key, known);
      problem(entry.first, full, "unknown key",
              guess.empty() ? fmt::format("Known here: {}.", fmt::join(known, ", "))
                            : fmt::format("Did you mean '{}'?", guess));
    } else if (!seen.insert(key).second) {
      problem(entry.first, full, "is given twice", "Keep one of them.");
    } else {
      lines_[full] = entry.first.Mark().line + 1;
      found->second(entry.second, full);
    }
  }
}

void Reader::list(const YAML::Node& node, const std::string& key, std::size_t items_max,
                  const Handler& item) {
  if (!node.IsSequence()) {
    problem(node, key, "must be a list", fmt::format("Write '{}: [one, another]'.", key));
    return;
  }
  if (node.size() > items_max) {
    problem(node, key, fmt::format("has more than {} entries", items_max), "Shorten the list.");
    return;
  }
  std::size_t index = 0;
  for (const auto& entry : node) item(entry, fmt::format("{}[{}]", key, index++));
}

std::optional<std::string> Reader::text(const YAML::Node& node, const std::string& key,
                                        std::string_view hint) {
  if (node.IsScalar() && !node.Scalar().empty()) return node.Scalar();
  problem(node, key, "has no value", std::string(hint));
  return std::nullopt;
}

Reader::Handler Reader::duration(std::int64_t& out, std::int64_t unit_us, std::int64_t min_us,
                                 std::int64_t max_us, std::string example) {
  return [this, &out, unit_us, min_us, max_us, example](const auto& node, const auto& key) {
    const auto hint =
        fmt::format("Write a number and a unit (us, ms, s, m, h, d), like {}.", example);
    const auto value = text(node, key, hint);
    if (!value) return;
    const auto us = parse_duration_us(*value);
    if (!us)
      problem(node, key, fmt::format("not a duration: '{}'", value->substr(0, 40)), hint);
    else if (*us < min_us || *us > max_us)
      problem(node, key, fmt::format("'{}' is out of range", value->substr(0, 40)),
              fmt::format("Between {} us and {} us, like {}.", min_us, max_us, example));
    else
      out = *us / unit_us;
  };
}

Reader::Handler Reader::flag(bool& out) {
  return [this, &out](const auto& node, const auto& key) {
    const char* hint = "Write true or false.";
    const auto value = text(node, key, hint);
    if (!value) return;
    if (*value == "true" || *value == "false")
      out = *value == "true";
    else
      problem(node, key, fmt::format("'{}' does not do", value->substr(0, 40)), hint);
  };
}

Reader::Handler Reader::integer(std::int64_t& out, std::int64_t min, std::int64_t max) {
  return [this, &out, min, max](const auto& node, const auto& key) {
    const auto hint = fmt::format("Write a whole number from {} to {}.", min, max);
    const auto value = text(node, key, hint);
    if (!value) return;
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
    if (error != std::errc() || end != value->data() + value->size() || number < min ||
        number > max)
      problem(node, key, fmt::format("'{}' does not do", value->substr(0, 40)), hint);
    else
      out = number;
  };
}

Reader::Handler Reader::credits(std::function<void(wire::MicroCredits)> store) {
  return [this, store = std::move(store)](const auto& node, const auto& key) {
    const char* hint = "Write credits with at most six decimals, like 1.25.";
    const auto value = text(node, key, hint);
    if (!value) return;
    if (const auto amount = budget::parse_credits(*value))
      store(*amount);
    else
      problem(node, key, amount.error().message, hint);
  };
}

Reader::Handler Reader::quantity(std::int64_t& out, Result<std::int64_t> (*parse)(std::string_view),
                                 std::int64_t max, std::string example) {
  return [this, &out, parse, max, example](const auto& node, const auto& key) {
    const auto hint = fmt::format("Write it like {}.", example);
    const auto value = text(node, key, hint);
    if (!value) return;
    const auto amount = parse(*value);
    if (!amount)
      problem(node, key, amount.error().message, hint);
    else if (*amount > max)
      problem(node, key, fmt::format("'{}' is too much", value->substr(0, 40)),
              fmt::format("At most {}.", max));
    else
      out = *amount;
  };
}

Reader::Handler Reader::name(std::string& out) {
  return [this, &out](const auto& node, const auto& key) {
    const char* hint = "Up to 64 letters, digits, '-', '_' and '.'.";
    const auto value = text(node, key, hint);
    if (!value) return;
    const bool plain = std::all_of(value->begin(), value->end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_' || c == '.';
    });
    if (!plain || value->size() > 64)
      problem(node, key, "is no name", hint);
    else
      out = *value;
  };
}

Reader::Handler Reader::patterns(std::vector<std::string>& out) {
  return [this, &out](const auto& node, const auto& key) {
    list(node, key, kPolicyListMax, [&](const YAML::Node& entry, const std::string& entry_key) {
      const char* hint = "A provider's domain, id or name; * and ? are wildcards.";
      const auto value = text(entry, entry_key, hint);
      if (!value) return;
      const bool printable =
          std::all_of(value->begin(), value->end(), [](char c) { return c > 0x20 && c < 0x7f; });
      if (!printable || value->size() > kPatternBytesMax)
        problem(entry, entry_key, "is no pattern", hint);
      else
        out.push_back(*value);
    });
  };
}

void Reader::redirect(const YAML::Node& node, const std::string& key) {
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

void Reader::cpu(const YAML::Node& node, const std::string& key) {
  const char* hint = "Write cores with at most three decimals, like 0.5.";
  const auto value = text(node, key, hint);
  if (!value) return;
  const auto micro = budget::parse_credits(*value);  // the same kind of number: millionths
  if (!micro || *micro % 1000 != 0 || *micro / 1000 > kCpuMillisMax)
    problem(node, key, fmt::format("'{}' is no number of cores", value->substr(0, 40)), hint);
  else
    policy_.slot.cpu_millis = *micro / 1000;
}

void Reader::port(const YAML::Node& node, const std::string& key) {
  std::int64_t number = 0;
  integer(number, 1, 65'535)(node, key);
  const auto port = static_cast<std::uint16_t>(number);
  if (port != 0 &&
      std::find(policy_.watch.begin(), policy_.watch.end(), port) == policy_.watch.end())
    policy_.watch.push_back(port);
}

void Reader::provider(const YAML::Node& node, const std::string& key) {
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

void Reader::latency(const YAML::Node& node, const std::string& key) {
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

void Reader::slot(const YAML::Node& node, const std::string& key) {
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

void Reader::dns(const YAML::Node& node, const std::string& key) {
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

Reader::Handler Reader::domain(std::string& out) {
  return [this, &out](const auto& node, const auto& key) {
    const char* hint = "Write a name without a dot at its end, like www.example.com.";
    const auto value = text(node, key, hint);
    if (!value) return;
    if (is_domain_name(*value))
      out = *value;
    else
      problem(node, key, fmt::format("'{}' is no domain name", value->substr(0, 80)), hint);
  };
}

void Reader::dns_update(const YAML::Node& node, const std::string& key) {
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

void Reader::promise(const YAML::Node& node, const std::string& key) {
  map(node, key,
      {{"window",
        duration(policy_.promise_window_ms, kUsPerMs, kUsPerSecond, 24 * kUsPerHour, "2m")},
       {"keep", integer(policy_.promise_keep, 1, 100)},
       {"pings", flag(policy_.ask_pings)}});
}

Reader::Handler Reader::words(std::vector<std::string>& out, bool (*fits)(std::string_view),
                              const char* hint) {
  return [this, &out, fits, hint](const auto& node, const auto& key) {
    list(node, key, kPolicyListMax, [&](const YAML::Node& entry, const std::string& entry_key) {
      const auto value = text(entry, entry_key, hint);
      if (value && fits(*value))
        out.push_back(*value);
      else if (value)
        problem(entry, entry_key, fmt::format("'{}' does not do", value->substr(0, 40)), hint);
    });
  };
}

void Reader::residency(const YAML::Node& node, const std::string& key) {
  map(node, key,
      {{"countries",
        words(policy_.residency.countries, wire::is_country, "Two capital letters, like DE.")},
       {"kinds", words(policy_.residency.kinds, wire::is_provider_kind,
                       "A word of small letters, like access, campus or cloud.")}});
}

void Reader::sources(const YAML::Node& node, const std::string& key) {
  map(node, key,
      {{"reverse_tree", flag(policy_.sources.reverse_tree)}, {"dht", flag(policy_.sources.dht)}});
}

void Reader::replicate(const YAML::Node& node, const std::string& key) {
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

void Reader::root(const YAML::Node& node) {
  const auto member = [this](void (Reader::*method)(const YAML::Node&, const std::string&)) {
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
       {"latency", member(&Reader::latency)},
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
       {"residency", member(&Reader::residency)},
       {"redirect", member(&Reader::redirect)},
       {"slot", member(&Reader::slot)},
       {"dns", member(&Reader::dns)},
       {"dns_update", member(&Reader::dns_update)},
       {"sources", member(&Reader::sources)},
       {"promise", member(&Reader::promise)},
       {"replicate", member(&Reader::replicate)},
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
void Reader::contradictions() {
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

PolicyReading Reader::read(std::string_view yaml) {
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

}  // namespace

PolicyReading read_policy(std::string_view yaml) { return Reader().read(yaml); }

Result<Policy> parse_policy(std::string_view yaml) {
  auto reading = read_policy(yaml);
  if (reading.policy) return std::move(*reading.policy);
  std::string text;
  for (const auto& problem : reading.problems)
    text += (text.empty() ? "" : "\n") + problem.to_string();
  return fail(Code::kInvalid, std::move(text));
}

}  // namespace icon::agent
