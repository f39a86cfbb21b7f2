// What an ICON finds out before it decides: who is on the way to its users (discovery), and what
// they ask for a slot (offers). Does the talking; what it means is decided elsewhere.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/ping_book.h"
#include "agent/policy.h"
#include "agent/provider_book.h"
#include "agent/supervisor_link.h"
#include "agent/task_group.h"
#include "base/clock.h"
#include "base/keys.h"
#include "base/task.h"
#include "discovery/discovery.h"
#include "discovery/dns_stack.h"
#include "wire/network_map.h"

namespace icon::agent {

struct SurveyLimits {
  std::size_t users_max = 10'000;     // whose paths are known; traced when they are due
  std::size_t traces_max = 256;       // looked at by decisions: of the users with most weight
  std::size_t traces_shown_max = 16;  // in a decision's evidence
  std::size_t providers_max = 64;     // asked for offers per round
  std::size_t offers_in_flight_max = 8;
  discovery::DnsOptions dns{};
  bool reverse_tree = false;  // further sources
  bool dht = false;
  Millis findings_age_max{30'000};  // routes and records do not change by the second
};

// How the agent looks around: gently, and with all that saves probes.
discovery::DiscoveryLimits discovery_limits(const SurveyLimits& limits);

// Owner: the agent. Loop thread. Nothing is open between two calls, nor after close().
class Survey {
 public:
  // Everything is borrowed and outlives the survey. Requests that run side by side are tasks of
  // `tasks`.
  Survey(IoContext& loop, const Clock& clock, SupervisorLink& link, TaskGroup& tasks,
         SurveyLimits limits)
      : loop_(loop), clock_(clock), link_(link), tasks_(tasks), limits_(limits), pings_(clock) {}
  // With a key, providers that made an offer are asked how far our users are from them. Null: no
  // more.
  void ask_pings_with(const KeyPair* key) { key_ = key; }

  // Traces to the users, looks for providers on the way and merges the configured ones. Findings
  // that are fresh and for the same users are used again. Errors: of the resolver, and as
  // Discovery::run.
  Task<Status> discover(Representatives users,
                        std::vector<discovery::ProviderCandidate> configured);
  // A fresh offer from every known provider but the present host and those that the policy bars:
  // afterwards each has an offer or a rejection.
  Task<void> ask_offers(const Policy& policy, std::string here_id, wire::MicroCredits budget_left);
  // The same for one; its offer, envelope and rejection are filled in.
  Task<KnownProvider> ask_offer(KnownProvider provider, const Policy& policy,
                                wire::MicroCredits budget_left);

  // Somebody whom no source has named; does nothing when he is known.
  void add(const KnownProvider& provider);

  const std::vector<KnownProvider>& providers() const { return providers_; }
  const std::vector<TraceView>& traces() const { return traces_; }
  const ReachedRtts& reached() const { return reached_; }
  // What was traced, named and left out, for the decision's evidence. Empty before the first run.
  const json::Object& evidence() const { return evidence_; }
  // The paths as traced, for people; empty before the first run.
  const wire::NetworkMap& traced() const { return traced_; }
  // Ends every socket that is still open.
  void close();
  // The place has changed: what was found no longer holds.
  void forget();

 private:
  struct Engine;
  struct OfferQueue;
  Result<Engine*> engine();
  void take_over(const discovery::DiscoveryReport& report);
  Task<void> ask_pings(KnownProvider provider);
  Task<void> offer_worker(std::shared_ptr<OfferQueue> queue);
  void log_answer(const ProviderView& view);
  std::optional<std::int64_t> connect_rtt(const Endpoint& api, std::optional<std::int64_t> now_us);
  bool fresh(const Representatives& users) const;

  IoContext& loop_;
  const Clock& clock_;
  SupervisorLink& link_;
  TaskGroup& tasks_;
  SurveyLimits limits_;
  std::shared_ptr<Engine> engine_;
  Representatives users_;
  std::optional<SteadyTime> found_at_;
  std::vector<KnownProvider> providers_;
  std::vector<TraceView> traces_;
  ReachedRtts reached_;
  json::Object evidence_;
  wire::NetworkMap traced_;
  const KeyPair* key_ = nullptr;
  PingBook pings_;
  std::map<std::string, std::string> logged_;           // the last answer of each API
  std::map<std::string, std::int64_t> connect_rtt_us_;  // of each API, as last measured from here
};

}  // namespace icon::agent
