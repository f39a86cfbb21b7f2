#include "discovery/reverse_tree_source.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <string_view>
#include <utility>

#include "discovery/parallel.h"
#include "discovery/service_lookup.h"

namespace icon::discovery {
namespace {

// Labels in front of in-addr.arpa or ip6.arpa that stand for what is behind the prefix.
constexpr int kBehindV4[] = {0, 1, 2, 3};         // /32, /24, /16, /8
constexpr int kBehindV6[] = {0, 16, 18, 20, 24};  // /128, /64, /56, /48, /32
constexpr int kBehindUserV4 = 1;
constexpr int kBehindUserV6 = 20;

std::string without_labels(std::string_view name, int count) {
  for (; count > 0; --count) name.remove_prefix(name.find('.') + 1);
  return std::string(name);
}

// One run. Lives in the frame of find(); the workers refer to it.
class Walk {
 public:
  Walk(Resolver& resolver, const ReverseTreeLimits& limits, Resolver* proof)
      : limits_(limits), lookup_(resolver, limits.service, proof) {}

  Task<Findings> run(Surroundings around) {
    choose(around);
    // Level by level: a network that many share is asked for once.
    while (next_level()) {
      const auto ask_one = [&](std::size_t i) { return ask(level_[i]); };
      co_await for_each_index(level_.size(), limits_.lookups_in_flight_max, ask_one);
      if (questions_ >= limits_.questions_max) break;
    }
    collect();
    co_return std::move(findings_);
  }

 private:
  struct Climber {
    PathHop hop;
    std::vector<std::string> names;
    std::size_t at = 0;
  };

  void reject(std::string subject, std::string reason) {
    if (findings_.rejected.size() < limits_.service.rejections_max)
      findings_.rejected.push_back({std::move(subject), std::move(reason)});
  }

  void choose(const Surroundings& around) {
    const auto add = [&](const PathHop& hop, bool user) {
      climbers_.push_back({hop, reverse_networks(hop.address, user), 0});
    };
    std::size_t users = 0, hops = 0;
    for (const Address& user : around.users)
      if (!user.is_non_public() && users++ < limits_.users_max) add({user, 0, 0}, true);
    for (const PathHop& hop : around.hops)
      if (!hop.address.is_non_public() && hops++ < limits_.hops_max) add(hop, false);
    const auto say = [&](const char* what, std::size_t count, std::size_t max) {
      if (count > max)
        reject(what, "reverse tree: only the first " + std::to_string(max) + " of " +
                         std::to_string(count) + " are looked up");
    };
    say("users", users, limits_.users_max);
    say("hops", hops, limits_.hops_max);
  }

  // The names to ask for now. False when everybody has arrived or nobody may ask.
  bool next_level() {
    level_.clear();
    std::size_t left_out = 0;
    for (Climber& climber : climbers_) {
      // Who has met records on the level before goes no further (RFC 8686, section 3.4).
      if (climber.at > 0) {
        const auto before = found_.find(climber.names[climber.at - 1]);
        if (before != found_.end() && before->second.present) climber.at = climber.names.size();
      }
      if (climber.at >= climber.names.size()) continue;
      const std::string& name = climber.names[climber.at++];
      if (const auto known = found_.find(name); known != found_.end()) {
        nearest(name, climber.hop);
      } else if (questions_ < limits_.questions_max) {
        ++questions_;
        found_.emplace(name, ServiceFindings{});
        hops_.emplace(name, climber.hop);
        level_.push_back(name);
      } else {
        ++left_out;
      }
    }
    if (left_out > 0)
      reject("reverse tree", "not asked further: more than " +
                                 std::to_string(limits_.questions_max) + " questions");
    return !level_.empty();
  }

  void nearest(const std::string& name, const PathHop& hop) {
    PathHop& known = hops_[name];
    if (hop.ttl > known.ttl) known = hop;
  }

  Task<void> ask(const std::string& name) {
    ServiceFindings& found = found_[name];
    ServiceQuestion question;
    question.subject = name;
    question.source = "reverse";
    if (networks_ >= limits_.networks_max) {
      ++skipped_;
      co_return;
    }
    co_await lookup_.ask(std::move(question), found);
    if (found.present) ++networks_;
  }

  // In the order of the names, so that the result does not depend on who answered first. What
  // concerns all of them comes first: the list has a limit.
  void collect() {
    say_what_failed();
    if (skipped_ > 0)
      reject("reverse tree", std::to_string(skipped_) + " networks not asked: more than " +
                                 std::to_string(limits_.networks_max) + " have records");
    for (auto& [name, found] : found_) {
      if (found.failure && found.failure->code == Code::kUnauthenticated)
        reject(name, "SRV: " + found.failure->message);
      for (auto& rejection : found.rejected)
        reject(std::move(rejection.subject), std::move(rejection.reason));
      for (auto& provider : found.providers) {
        // Who came by it later may be nearer the users.
        provider.hop_ttl = hops_[name].ttl;
        provider.hop_rtt_us = hops_[name].rtt_us;
        take(std::move(provider));
      }
    }
    merge_providers(findings_.providers, findings_.rejected);
  }

  // Reverse zones without servers are common: one line for all of them.
  void say_what_failed() {
    std::size_t failed = 0;
    std::string first;
    for (const auto& [name, found] : found_) {
      if (!found.failure || found.failure->code == Code::kUnauthenticated) continue;
      if (++failed == 1) first = name + ": " + found.failure->message;
    }
    if (failed > 0)
      reject("reverse tree", std::to_string(failed) + " of " + std::to_string(questions_) +
                                 " questions failed, the first one about " + first);
  }

  void take(ProviderCandidate provider) {
    if (findings_.providers.size() < limits_.service.providers_max) {
      findings_.providers.push_back(std::move(provider));
    } else {
      reject(provider.name,
             "more than " + std::to_string(limits_.service.providers_max) + " providers");
    }
  }

  const ReverseTreeLimits& limits_;
  ServiceLookup lookup_;
  Findings findings_;
  std::vector<Climber> climbers_;
  std::vector<std::string> level_;
  std::map<std::string, ServiceFindings> found_;
  std::map<std::string, PathHop> hops_;  // through which each name came, nearest the users
  std::size_t questions_ = 0;
  std::size_t networks_ = 0;  // with records
  std::size_t skipped_ = 0;
};

}  // namespace

std::vector<std::string> reverse_networks(const Address& address, bool user) {
  const std::string whole = reverse_name(address);
  std::vector<std::string> names;
  const auto add = [&](int behind, int least) {
    if (!user || behind >= least) names.push_back(without_labels(whole, behind));
  };
  if (address.is_v4()) {
    for (const int behind : kBehindV4) add(behind, kBehindUserV4);
  } else {
    for (const int behind : kBehindV6) add(behind, kBehindUserV6);
  }
  return names;
}

Task<Findings> ReverseTreeSource::find(Surroundings around) {
  Walk walk(resolver_, limits_, proof_);
  co_return co_await walk.run(std::move(around));
}

}  // namespace icon::discovery
