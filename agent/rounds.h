// What a round and a move consist of: look at the users, look for providers, ask, decide, buy,
// order. Each step is a task that reports to the lifecycle; the rules are in decide and budget.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "agent/bidder.h"
#include "agent/chronicle.h"
#include "agent/dns_keeper.h"
#include "agent/identity.h"
#include "agent/kinship.h"
#include "agent/latency_monitor.h"
#include "agent/lifecycle.h"
#include "agent/observed_round.h"
#include "agent/policy.h"
#include "agent/promises.h"
#include "agent/purchase.h"
#include "agent/status_report.h"
#include "agent/supervisor_link.h"
#include "agent/survey.h"
#include "agent/task_group.h"
#include "agent/tenant.h"
#include "agent/wallet.h"

namespace icon::agent {

// Of the users that a decision looks at: those with most weight.
inline constexpr std::size_t kDecidedPrefixesMax = 1024;

struct RoundsOptions {
  Policy policy;
  Identity identity;
  std::string state_dir;   // purse and history; travels with the ICON
  RunCommand run_command;  // beside the service
};

// Owner: the agent. Loop thread. Its memory travels with the process; it opens nothing outside of
// the tasks that it starts.
class Rounds {
 public:
  // Everything but the options is borrowed. `feed` is called from the loop, never from within a
  // call to this object.
  Rounds(IoContext& loop, const Clock& clock, SupervisorLink& link, TaskGroup& tasks,
         LatencyTable& table, LatencyMonitor& monitor, RoundsOptions options,
         std::function<void(Event)> feed);

  // The supervisor has said who and where we are; `moved`: at another place than before.
  void arrived(const Self& self, bool moved);
  // Steps of the lifecycle.
  // `dry`: the round is a plan. It answers those who want one, and changes nothing.
  void start_discovery(std::int64_t round, bool dry);
  void start_offers(std::int64_t round);
  void start_decision(std::int64_t round);
  void start_order(std::string target, std::string reason);
  void start_replica_order(std::string target, std::string reason);
  // Whether our host's owner says when we move. We look at our users all the same, and buy within
  // our policy or not at all.
  void delegate(bool on) { is_delegated_ = on; }
  bool is_delegated() const { return is_delegated_; }
  // May a sibling of our host prepare for us? standby.h has the rule.
  void answer_standby(StandbyQuestion question);
  // Tells the operator that his order is not even tried.
  void refuse(const std::string& target, const std::string& why);
  void move_ended(const action::MoveEnded& ended);
  // A copy is about to be made: it must not find our key in its memory.
  void forget_key();
  // Afterwards, also in the copy, which is then somebody else: nothing of its parent's is left.
  void take_identity(Identity identity);
  bool has_forgotten_key() const { return has_forgotten_key_; }
  // Before the freeze for `migration`: records it, and closes whatever sockets the tasks left.
  void close(const std::string& migration);
  // The service has ended; calls `then` when nothing is left to be said, soon.
  void ended(std::function<void()> then);
  // At every report: the record counts the time.
  void tick() {
    promises_.tick();
    tenant_.tick();
    kinship_.tick();
    keep_names();
  }
  // Users are leaving: nothing is rented any longer.
  void set_draining(bool draining);
  // An operator lets it take no decision to move: it bids for nothing, either.
  void set_held(bool held) { held_ = held; }
  // An operator asks what would be decided now: the next dry round tells it.
  void want_plan(std::string request);
  void refuse_plans(const std::string& why);
  // Words of a parent or of children.
  void hear(const std::vector<wire::Envelope>& documents) { kinship_.hear(documents); }
  void lead_away() { kinship_.lead_away(); }

  // Users, providers, money: everything of the status that is not the lifecycle's.
  StatusInput status() const;

 private:
  void use_key();
  void keep_names();
  void open_wallet();
  void open_chronicle();
  void note(const Status& recorded) const;
  void reconcile_holds(bool first);
  void clear_hold(const std::string& id, const Purchase& purchase, bool moved);
  void read_lease();
  void load_history();
  void save_history();
  Task<void> discovery_task(std::int64_t round);
  Task<void> offers_task(std::int64_t round);
  Task<void> decision_task(std::int64_t round);
  Task<void> plan_task(std::int64_t round);
  Task<void> answer_plan(std::string request, json::Object evidence, std::string error);
  budget::Evidence planned() const;
  // What is decided on; an offer that was won takes the place of the posted one in `seen`.
  budget::DecisionInput next_decision(Observations& seen) const;
  // A sealed bid where nothing is to be had at a posted price.
  Task<void> bid_if_worth_it();
  std::vector<KnownProvider> sellers_of(const KnownProvider& provider, const OpenSale& sale) const;
  wire::MicroCredits worth_of_slot(const KnownProvider& provider, const OpenSale& sale) const;
  Task<void> order_task(std::string target, std::string reason);
  Task<Status> order(std::string target, std::string reason);
  Task<void> replica_order_task(std::string target, std::string reason);
  Task<Status> replica_order(std::string target, std::string reason);
  const std::optional<KeyPair>& key() const { return options_.identity.key; }
  Task<Result<PurchaseRequest>> decided_move(std::string target);
  Task<Result<PurchaseRequest>> operators_move(std::string target);
  Task<Result<KnownProvider>> locate(std::string target);
  Task<void> standby_task(StandbyQuestion question);
  Task<void> post(const budget::Evidence& evidence);
  Task<void> post_refusal(budget::Evidence evidence);
  KnownProvider here_as_provider() const;
  budget::Evidence refusal(const std::string& target, const std::string& why) const;
  std::vector<wire::KinGroup> groups_for(const KnownProvider& provider) const;
  // Those whom no replica serves.
  std::vector<budget::PrefixView> own_users() const;
  Observations observations() const;
  // What `icon path` shows; `candidates`: of the decision, empty when nobody was asked.
  void tell_map(const Observations& seen, std::span<const budget::Candidate> candidates);
  Task<void> send_map(json::Object map);
  bool nothing_to_ask() const;
  wire::MicroCredits worth_here(std::int64_t seconds) const;
  void record(ObservedRound seen);
  bool may_buy() const;
  void later(Event event);
  wire::MicroCredits money_left() const { return wallet_ ? wallet_->available() : 0; }

  IoContext& loop_;
  const Clock& clock_;
  SupervisorLink& link_;
  TaskGroup& tasks_;
  LatencyTable& table_;
  LatencyMonitor& monitor_;
  RoundsOptions options_;
  std::function<void(Event)> feed_;
  Survey survey_;
  Promises promises_;
  bool has_forgotten_key_ = false;
  bool is_delegated_ = false;
  std::optional<Buyer> buyer_;
  std::optional<Wallet> wallet_;
  std::optional<Chronicle> chronicle_;

  std::optional<Self> self_;
  HereView here_;
  std::string lease_nonce_;  // of the lease under which we run: the hold that paid for it
  std::vector<PrefixLatency> users_;
  budget::DecisionHistory history_;
  json::Object move_evidence_;               // of the last decision to move
  std::optional<budget::Evidence> refusal_;  // of an operator's order under way
  std::string last_posted_;
  json::Object last_decision_;  // in figures
  bool telling_map_ = false;
  bool held_ = false;
  bool dry_ = false;
  std::vector<std::string> plans_;  // requests that wait for an answer
  bool record_failed_ = false;      // said once
  std::vector<std::pair<std::string, std::int64_t>> estimates_us_;
  Purchase purchase_;
  // Last: they borrow from those above.
  Bidder bidder_;
  Tenant tenant_;
  Kinship kinship_;
  DnsKeeper dns_;
  bool leaving_ = false;  // users are: no name leads here any more
};

}  // namespace icon::agent
