#include "agent/rounds.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/json/serialize.hpp>

#include "agent/observed_round.h"
#include "agent/record_file.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/log.h"

namespace icon::agent {
namespace {

constexpr std::size_t kDecisionIdBytes = 12;
constexpr std::size_t kHistoryBytesMax = 64 << 10;
// What the discovery saw goes along with a decision unless it is larger than this.
constexpr std::size_t kDiscoveryEvidenceBytesMax = 128 << 10;
constexpr int kFastestTenth = 10;

SurveyLimits survey_limits(const Policy& policy) {
  SurveyLimits limits;
  limits.dns.resolver.servers = policy.dns.servers;
  limits.dns.validate = policy.dns.dnssec != DnssecMode::kOff;
  limits.dns.validator.required = policy.dns.dnssec == DnssecMode::kRequire;
  limits.dns.validator.anchors = policy.dns.anchors;
  limits.reverse_tree = policy.sources.reverse_tree;
  limits.dht = policy.sources.dht;
  // Traces and look-ups burden strangers: once per several rounds will do.
  limits.findings_age_max = std::max(limits.findings_age_max, Millis(5 * policy.interval_ms));
  return limits;
}

}  // namespace

Rounds::Rounds(IoContext& loop, const Clock& clock, SupervisorLink& link, TaskGroup& tasks,
               LatencyTable& table, LatencyMonitor& monitor, RoundsOptions options,
               std::function<void(Event)> feed)
    : loop_(loop),
      clock_(clock),
      link_(link),
      tasks_(tasks),
      table_(table),
      monitor_(monitor),
      options_(std::move(options)),
      feed_(std::move(feed)),
      survey_(loop, clock, link, tasks, survey_limits(options_.policy)),
      promises_(clock, options_.state_dir + "/record.json"),
      bidder_({loop, clock, link, tasks, wallet_, chronicle_,
               [this] { return key() ? &*key() : nullptr; }, options_.state_dir + "/bid.json"}),
      tenant_({loop, clock, link, tasks, options_.policy, wallet_, chronicle_,
               [this] { return key() ? &*key() : nullptr; },
               [this](std::int64_t seconds) { return worth_here(seconds); },
               [this](Event event) { later(std::move(event)); }},
              options_.state_dir + "/leases.json"),
      kinship_({clock, link, tasks, table, monitor, options_.policy, options_.identity, self_,
                wallet_, chronicle_, purchase_, options_.state_dir + "/family.json",
                [this](Event event) { later(std::move(event)); },
                [this](const auto& migration) { tenant_.replica_failed(migration); },
                [this](const auto& child) { tenant_.replica_ended(child); }}),
      dns_({loop, clock, tasks, options_.policy.dns_update, options_.state_dir,
            options_.run_command}) {
  use_key();
  load_history();
}

void Rounds::use_key() {
  if (key()) buyer_.emplace(link_, *key(), clock_);
  survey_.ask_pings_with(key() && options_.policy.ask_pings ? &*key() : nullptr);
}

void Rounds::later(Event event) {
  boost::asio::post(loop_, [this, event = std::move(event)] { feed_(event); });
}

void Rounds::load_history() {
  const auto text = read_file(options_.state_dir + "/history.json", kHistoryBytesMax);
  if (!text) return;
  const auto object = json::parse_object(*text, kHistoryBytesMax, json::kOwnDepthMax);
  if (!object) return;
  if (const auto history = budget::DecisionHistory::from_json(*object)) history_ = *history;
}

void Rounds::save_history() {
  const auto status = write_file_atomic(options_.state_dir + "/history.json",
                                        boost::json::serialize(history_.to_json()), 0600);
  if (!status) log::warn("history.save_failed", {{"message", status.error().message}});
}

void Rounds::open_wallet() {
  if (wallet_ || !key()) return;
  if (const auto made = make_directories(options_.state_dir, 0700); !made) {
    log::error("purse.open_failed", {{"message", made.error().message}});
    return;
  }
  // A child has what its parent gives it: the policy's budget is the whole tree's.
  const auto budget = options_.identity.is_child ? 0 : options_.policy.budget_ucredits;
  auto wallet = Wallet::open(options_.state_dir + "/purse.db", budget, clock_.utc_ms());
  if (!wallet) {
    log::error("purse.open_failed", {{"code", to_string(wallet.error().code)},
                                     {"message", wallet.error().message},
                                     {"consequence", "nothing will be bought"}});
    return;
  }
  wallet_.emplace(std::move(*wallet));
}

void Rounds::note(const Status& recorded) const {
  if (!recorded)
    log::error("ledger.not_recorded",
               {{"code", to_string(recorded.error().code)}, {"message", recorded.error().message}});
}

void Rounds::open_chronicle() {
  if (!chronicle_ && key() && key()->public_key() == self_->icon) {
    auto chronicle = Chronicle::open(options_.state_dir, *key(), clock_);
    if (!chronicle) return note(fail(chronicle.error()));
    chronicle_.emplace(std::move(*chronicle));
  }
  if (chronicle_)
    note(chronicle_->arrived({self_->supervisor, self_->epoch, self_->lease, self_->host_join,
                              options_.identity.birth_document}));
}

void Rounds::arrived(const Self& self, bool moved) {
  if (key() && key()->public_key() != self.icon && !self_)
    log::error("agent.key_mismatch", {{"key", short_id(key()->id())},
                                      {"supervisor_says", short_id(self.icon.id())},
                                      {"consequence", "nothing will be bought"}});
  const bool first = !self_;
  self_ = self;
  if (first) promises_.woke_at(self.supervisor.id());
  if (moved) {
    table_.reset();
    users_.clear();
    estimates_us_.clear();
    survey_.forget();
    promises_.arrived();
  }
  read_lease();
  open_wallet();
  open_chronicle();
  reconcile_holds(first);
  tenant_.arrived(self, options_.identity.is_child);
  kinship_.arrived();
  bidder_.open();
  dns_.open();
  keep_names();
}

void Rounds::read_lease() {
  here_ = {self_->provider_name, self_->supervisor.id(), 0, 0};
  lease_nonce_.clear();
  if (!self_->lease) return;
  const auto lease = wire::open<wire::Lease>(*self_->lease);
  if (!lease) {
    log::warn("lease.not_genuine", {{"message", lease.error().message}});
    return;
  }
  const auto bid = lease->verified_bid();
  if (!bid || bid->icon != self_->icon) return;
  here_.price_ucredits = bid->price_ucredits;
  here_.slot_seconds = bid->slot_seconds;
  lease_nonce_ = bid->nonce;
}

// What pays for the lease under which we run was spent, whatever was heard about it. At the first
// contact of a new process nobody waits for the other holds any more: they came to nothing.
void Rounds::reconcile_holds(bool first) {
  if (!wallet_) return;
  const UtcMillis now_ms = clock_.utc_ms();
  for (const auto& id : wallet_->open_holds()) {
    const bool ours = id == lease_nonce_;
    if (id == purchase_.migration || (!ours && !first) || kinship_.waits_for(id)) continue;
    if (id.starts_with(kRenewalHold) || bidder_.waits_for(id)) continue;  // the tenant's, or a bid
    const auto status = ours ? wallet_->settle(id, now_ms) : wallet_->release(id, now_ms);
    log::info("purse.reconciled", {{"migration", id},
                                   {"as", ours ? "spent" : "released"},
                                   {"message", status ? "" : status.error().message}});
  }
}

bool Rounds::may_buy() const {
  return wallet_ && chronicle_ && buyer_ && self_ && key() && key()->public_key() == self_->icon;
}

void Rounds::start_discovery(std::int64_t round, bool dry) {
  dry_ = dry;
  // Whoever wanted the plan was told by the one before.
  if (dry && plans_.empty()) return later(event::DecidedStay{round});
  tasks_.spawn("discovery", discovery_task(round));
}
void Rounds::start_offers(std::int64_t round) { tasks_.spawn("offers", offers_task(round)); }
void Rounds::start_decision(std::int64_t round) {
  tasks_.spawn("decision", dry_ ? plan_task(round) : decision_task(round));
}
void Rounds::start_order(std::string target, std::string reason) {
  tasks_.spawn("order", order_task(std::move(target), std::move(reason)));
}

std::vector<budget::PrefixView> Rounds::own_users() const {
  auto users =
      prefix_views(users_, table_, static_cast<int>(options_.policy.percentile), survey_.reached());
  std::erase_if(users, [&](const auto& user) { return kinship_.is_served_elsewhere(user.prefix); });
  return users;
}

bool Rounds::nothing_to_ask() const {
  if (is_delegated_) return true;
  if (tenant_.looks_around()) return false;
  return agent::nothing_to_ask(own_users(), here_, options_.policy);
}

Task<void> Rounds::discovery_task(std::int64_t round) {
  if (const auto status = monitor_.dump_now(); !status)
    log::warn("latency.dump_failed", {{"message", status.error().message}});
  users_ = table_.snapshot();
  auto traced = representatives(users_, SurveyLimits{}.users_max);
  users_.resize(std::min(users_.size(), kDecidedPrefixesMax));
  if (wallet_) wallet_->expire(clock_.utc_ms());
  if (!nothing_to_ask() && self_) {
    const auto status = co_await survey_.discover(
        std::move(traced), configured_providers(options_.policy, self_->providers));
    if (!status) {
      later(event::RoundFailed{round, "discovery: " + status.error().message});
      co_return;
    }
    if (promises_.previous()) survey_.add(*promises_.previous());
  }
  later(event::DiscoveryDone{round});
}

Task<void> Rounds::offers_task(std::int64_t round) {
  // Nobody is asked for a price while the users are served well.
  if (!nothing_to_ask()) co_await survey_.ask_offers(options_.policy, here_.id, money_left());
  if (!nothing_to_ask() && may_buy() && options_.policy.bids && !bidder_.busy() && !dry_ && !held_)
    co_await bid_if_worth_it();
  later(event::OffersDone{round});
}

Observations Rounds::observations() const {
  Observations seen;
  seen.here = here_;
  seen.prefixes = own_users();
  seen.traces = survey_.traces();
  for (const auto& provider : survey_.providers()) seen.providers.push_back(provider.view);
  promises_.apply(seen.providers);
  seen.budget_left_ucredits = money_left();
  return seen;
}

budget::DecisionInput Rounds::next_decision(Observations& seen) const {
  const auto won = nothing_to_ask() ? std::nullopt : bidder_.won();
  if (won)
    for (auto& view : seen.providers)
      if (view.names.id == won->view.names.id) {
        view.offer = won->view.offer;
        view.rejection.reset();
      }
  auto input = decision_input(options_.policy, seen, history_);
  input.replicas = kinship_.replicas();
  input.broken_promise = promises_.broken();
  input.held = held_;
  if (won) {  // it does not wait for us
    input.policy.rounds = 1;
    input.policy.cooldown_ms = 0;
  }
  return input;
}

void Rounds::record(ObservedRound seen) {
  if (options_.policy.record_bytes == 0) return;
  const auto status = append_to_record(options_.state_dir + "/rounds.jsonl", observed_to_json(seen),
                                       options_.policy.record_bytes);
  if (status || std::exchange(record_failed_, true)) return;
  log::warn("record.failed", {{"message", status.error().message}});
}

Task<void> Rounds::decision_task(std::int64_t round) {
  // Connections that still come by the old host are slower: the fastest tenth speaks for a place
  // that has a promise to keep.
  const int percentile =
      promises_.pending() ? kFastestTenth : static_cast<int>(options_.policy.percentile);
  const auto delivered = prefix_views(users_, table_, percentile, survey_.reached());
  promises_.look(here_, delivered, options_.policy);
  if (const auto judged = kinship_.look_back(here_, own_users()); judged && judged->end) {
    co_await post(judged->evidence);
    later(event::DecidedEnd{round, judged->evidence.reason});
    co_return;
  }
  if (is_delegated_) {
    history_.rounds_won = 0;  // not nothing_asked(): nobody has looked what there is to earn
    tell_map(observations(), {});
    later(event::DecidedStay{round});
    co_return;
  }
  const auto now_ms = clock_.utc_ms();
  const bool is_quiet = nothing_to_ask();
  auto seen = observations();
  auto input = next_decision(seen);
  if (is_quiet) {
    if (std::exchange(last_posted_, "objective_met") != "objective_met")
      log::info("round.objective_met", {{"round", round},
                                        {"prefixes", users_.size()},
                                        {"objective_us", options_.policy.objective_us}});
    history_.nothing_asked(now_ms);
    tell_map(seen, {});
    record({now_ms, std::move(input), {}});
    later(event::DecidedStay{round});
    co_return;
  }
  tell_map(seen, input.candidates);
  const auto decision = budget::decide(input, now_ms);
  history_ = decision.history;
  record({now_ms, std::move(input), decision.move ? decision.evidence.to_id : std::string()});
  estimates_us_ = estimates_of(decision.evidence);
  co_await post(decision.evidence);
  if ((decision.move || decision.replicate) && decision.winner &&
      *decision.winner < seen.providers.size()) {
    move_evidence_ = decision.evidence.to_json();
    const auto target = seen.providers[*decision.winner].names.id;
    if (decision.move)
      later(event::DecidedMove{round, target});
    else
      later(event::DecidedReplica{round, target});
  } else {
    later(event::DecidedStay{round});
  }
}

// A decision that repeats the last one in outcome and reasons is neither logged nor kept again.
Task<void> Rounds::post(const budget::Evidence& evidence) {
  last_decision_ = decision_figures(evidence);
  std::string summary =
      evidence.outcome + ' ' + evidence.reason + ' ' + evidence.to_id + ' ' + evidence.promise;
  for (const auto& candidate : evidence.candidates)
    summary += ' ' + candidate.id + candidate.reason;
  const bool repeated = std::exchange(last_posted_, summary) == summary;
  if (repeated && evidence.outcome != "move" && evidence.reason != "operator") co_return;
  log::info("decision", {{"outcome", evidence.outcome},
                         {"reason", evidence.reason},
                         {"to", evidence.to_name},
                         {"message", evidence.message}});
  json::Object body = evidence.to_json();
  if (boost::json::serialize(survey_.evidence()).size() <= kDiscoveryEvidenceBytesMax)
    body["discovery"] = survey_.evidence();
  const auto status = co_await link_.post_decision(random_token(kDecisionIdBytes), evidence.outcome,
                                                   std::move(body));
  if (!status) log::warn("decision.post_failed", {{"message", status.error().message}});
}

void Rounds::close(const std::string& migration) {
  if (chronicle_) note(chronicle_->checkpointed(migration));
  survey_.close();
  tenant_.close();
  kinship_.closed();
  bidder_.close();
  dns_.close();
}

void Rounds::ended(std::function<void()> then) {
  if (chronicle_) note(chronicle_->ended());
  set_draining(true);
  dns_.finish(std::move(then));
}

StatusInput Rounds::status() const {
  StatusInput input;
  input.policy = &options_.policy;
  input.prefixes = table_.snapshot();
  input.providers = &survey_.providers();
  input.estimates_us = estimates_us_;
  if (wallet_) input.purse = wallet_->totals();
  if (self_) input.epoch = self_->epoch;
  input.record = promises_.status_json();
  input.leases = tenant_.status_json();
  input.decision = last_decision_;
  input.family = kinship_.status();
  input.bids = bidder_.status_json();
  input.dns = dns_.status_json();
  return input;
}

}  // namespace icon::agent
