#include "agent/survey.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "agent/map_report.h"
#include "base/encoding.h"
#include "base/log.h"
#include "discovery/dht_source.h"
#include "discovery/mapped_tracer.h"
#include "discovery/probe.h"
#include "discovery/reverse_tree_source.h"

namespace icon::agent {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kNonceBytes = 16;
constexpr std::size_t kConnectRttsMax = 1'024;

budget::Rejection rejection_of(const Error& error) {
  switch (error.code) {
    case Code::kUnauthenticated:
      return {"key_mismatch", error.message};
    case Code::kRefused:
    case Code::kConflict:
    case Code::kLimit:
      return {"no_offer", error.message};
    case Code::kInvalid:
      return {"malformed", error.message};
    default:
      return {"unreachable", error.message};
  }
}

bool worth_another_address(const Error& error) {
  return error.code == Code::kTimeout || error.code == Code::kIo || error.code == Code::kNotFound;
}

}  // namespace

discovery::DiscoveryLimits discovery_limits(const SurveyLimits& limits) {
  discovery::DiscoveryLimits found;
  found.targets_max = found.trace.targets_max = limits.users_max;
  found.trace.traces_reported_max = limits.traces_max;
  found.trace.global_stops = true;
  found.trace.flows_max = discovery::kFlowsMax;
  return found;
}

namespace {

// The host's DHT node, which is asked through its supervisor.
class SupervisorDht final : public discovery::DhtLookup {
 public:
  explicit SupervisorDht(SupervisorLink& link) : link_(link) {}
  Task<Result<std::vector<discovery::DhtValue>>> values(std::vector<std::string> keys) override {
    return link_.look_up_dht(std::move(keys));
  }

 private:
  SupervisorLink& link_;
};

}  // namespace

// The parts of discovery, which refer to each other.
struct Survey::Engine {
  Engine(std::unique_ptr<discovery::DnsStack> stack, const Clock& clock, SupervisorLink& link,
         const SurveyLimits& limits)
      : resolver(std::move(stack)),
        dns(*resolver, {}, resolver->proof()),
        reverse_tree(*resolver, {}, resolver->proof()),
        dht_lookup(link),
        dht(dht_lookup, clock, {}),
        tracer(clock),
        discovery(tracer, *resolver, sources(limits), clock, discovery_limits(limits)) {}

  std::vector<discovery::ProviderSource*> sources(const SurveyLimits& limits) {
    std::vector<discovery::ProviderSource*> list{&configured, &dns};
    if (limits.reverse_tree) list.push_back(&reverse_tree);
    if (limits.dht) list.push_back(&dht);
    return list;
  }

  std::unique_ptr<discovery::DnsStack> resolver;
  discovery::ConfiguredProviderSource configured;
  discovery::DnsProviderSource dns;
  discovery::ReverseTreeSource reverse_tree;
  SupervisorDht dht_lookup;
  discovery::DhtProviderSource dht;
  discovery::MappedTracer tracer;
  discovery::Discovery discovery;
};

Result<Survey::Engine*> Survey::engine() {
  if (!engine_) {
    ICON_TRY(auto resolver, discovery::DnsStack::create(loop_, clock_, limits_.dns));
    engine_ = std::make_shared<Engine>(std::move(resolver), clock_, link_, limits_);
  }
  return engine_.get();
}

bool Survey::fresh(const Representatives& users) const {
  return found_at_ && users == users_ && clock_.steady() - *found_at_ < limits_.findings_age_max;
}

Task<Status> Survey::discover(Representatives users,
                              std::vector<discovery::ProviderCandidate> configured) {
  if (users.users.size() > limits_.users_max) {
    users.users.resize(limits_.users_max);
    users.prefixes.resize(limits_.users_max);
  }
  if (fresh(users)) co_return Status{};
  ICON_CO_TRY(Engine* const raw, engine());
  const auto keep = engine_;  // forget() may come while we wait
  raw->configured.replace(std::move(configured));
  ICON_CO_TRY(const auto report, co_await raw->discovery.run(users.users));
  users_ = std::move(users);
  take_over(report);
  co_return Status{};
}

void Survey::take_over(const discovery::DiscoveryReport& report) {
  found_at_ = clock_.steady();
  providers_ = known_providers(report, users_.prefixes);
  if (providers_.size() > limits_.providers_max) providers_.resize(limits_.providers_max);
  traces_ = trace_views(report, users_.prefixes);
  reached_ = reached_rtts(report, users_.prefixes);
  evidence_ = report.to_json(limits_.traces_shown_max);
  traced_ = traced_map(report, users_.prefixes, clock_.utc_ms());
  log::info("discovery.done", {{"users", users_.users.size()},
                               {"hops", report.hops.size()},
                               {"routers", report.routers.size()},
                               {"domains", report.domains.size()},
                               {"providers", report.providers.size()},
                               {"rejected", report.rejected.size()},
                               {"probes", report.probes_sent},
                               {"took_us", report.timings.total.count()}});
}

void Survey::add(const KnownProvider& provider) {
  const auto known = [&](const KnownProvider& one) {
    return one.view.names.id == provider.view.names.id || one.view.api == provider.view.api;
  };
  if (std::none_of(providers_.begin(), providers_.end(), known)) providers_.push_back(provider);
}

struct Survey::OfferQueue {
  OfferQueue(IoContext& loop, const Policy& for_policy)
      : policy(for_policy), finished(loop, SteadyTime::max()) {}
  Policy policy;
  wire::MicroCredits budget_left = 0;
  std::vector<std::size_t> waiting;  // indices of providers, last one first
  std::size_t unfinished = 0;
  asio::steady_timer finished;
};

Task<void> Survey::offer_worker(std::shared_ptr<OfferQueue> queue) {
  while (!queue->waiting.empty()) {
    const std::size_t index = queue->waiting.back();
    queue->waiting.pop_back();
    auto answered = co_await ask_offer(providers_[index], queue->policy, queue->budget_left);
    if (!answered.view.rejection) co_await ask_pings(answered);
    answered.view.measured_rtt_us = pings_.figures(answered.view.names.id);
    if (index < providers_.size()) providers_[index] = std::move(answered);
    --queue->unfinished;
  }
  if (queue->unfinished == 0) queue->finished.cancel();
}

// What it says is one figure among others: without it the decision goes by the path.
Task<void> Survey::ask_pings(KnownProvider provider) {
  if (key_ == nullptr || !provider.view.offer) co_return;
  const PublicKey id = provider.view.offer->provider;
  auto request = pings_.due(*key_, id, users_, provider.view.names.configured);
  if (!request) co_return;
  const std::string digest = request->digest();
  const auto report = co_await link_.ask_pings(provider.view.api, std::move(*request));
  const auto status = report ? pings_.take(*report, id, digest) : Status(fail(report.error()));
  if (!status) pings_.put_off(id);
  log::info("pings.answer", {{"provider", provider.view.names.name},
                             {"figures", pings_.figures(id.id()).size()},
                             {"code", status ? "" : to_string(status.error().code)},
                             {"message", status ? "" : status.error().message}});
}

Task<void> Survey::ask_offers(const Policy& policy, std::string here_id,
                              wire::MicroCredits budget_left) {
  const auto queue = std::make_shared<OfferQueue>(loop_, policy);
  queue->budget_left = budget_left;
  const budget::AllowList allowed{policy.allow, policy.deny};
  for (std::size_t i = providers_.size(); i-- > 0;) {
    auto& [view, other_apis, offer] = providers_[i];
    view.offer.reset();
    offer.reset();
    view.rejection = allowed.check(view.names);
    if (!view.rejection && view.names.id != here_id) queue->waiting.push_back(i);
  }
  queue->unfinished = queue->waiting.size();
  const std::size_t workers = std::min(limits_.offers_in_flight_max, queue->waiting.size());
  for (std::size_t i = 0; i < workers; ++i) tasks_.spawn("offers", offer_worker(queue));
  if (queue->unfinished > 0)
    co_await queue->finished.async_wait(asio::as_tuple(asio::use_awaitable));
}

Task<KnownProvider> Survey::ask_offer(KnownProvider provider, const Policy& policy,
                                      wire::MicroCredits budget_left) {
  auto& view = provider.view;
  view.offer.reset();
  provider.offer.reset();
  std::vector<Endpoint> apis{view.api};
  apis.insert(apis.end(), provider.other_apis.begin(), provider.other_apis.end());
  for (const Endpoint& api : apis) {
    OfferQuestion question{api, view.names.id, random_token(kNonceBytes), policy.slot,
                           policy.slot_seconds};
    const auto answer = co_await link_.ask_offer(question);
    if (!answer) {
      view.rejection = rejection_of(answer.error());
      if (worth_another_address(answer.error())) continue;
      break;
    }
    const auto request =
        offer_request(policy, view.names.id, answer->observed_id, question.nonce, budget_left);
    if (!request) {
      view.rejection = rejection_of(request.error());
      break;
    }
    const auto verdict = budget::check_offer(answer->offer, *request, clock_.utc_ms());
    view.api = api;
    view.connect_rtt_us = connect_rtt(api, answer->connect_rtt_us);
    view.offer = verdict.offer;
    view.rejection = verdict.rejection;
    if (auto envelope = wire::parse_envelope(answer->offer); envelope && verdict.offer)
      provider.offer = std::move(*envelope);
    // Whoever was asked without an expected key is from now on the one who signed.
    if (view.names.id.empty() && verdict.accepted()) view.names.id = verdict.offer->provider.id();
    break;
  }
  log_answer(view);
  co_return provider;
}

// An answer on a connection that was open already has measured nothing: then the last one counts.
std::optional<std::int64_t> Survey::connect_rtt(const Endpoint& api,
                                                std::optional<std::int64_t> now_us) {
  const std::string name = api.to_string();
  if (now_us) {
    if (connect_rtt_us_.size() >= kConnectRttsMax) connect_rtt_us_.clear();
    connect_rtt_us_[name] = *now_us;
    return now_us;
  }
  const auto known = connect_rtt_us_.find(name);
  return known == connect_rtt_us_.end() ? now_us : known->second;
}

// An answer like the one before is no news.
void Survey::log_answer(const ProviderView& view) {
  const std::string reason = view.rejection ? view.rejection->code : "offered";
  const std::string price = view.offer ? std::to_string(view.offer->price_ucredits) : "";
  const std::string api = view.api.to_string();
  if (std::exchange(logged_[api], reason + ' ' + price) == reason + ' ' + price) return;
  log::info(
      "offer.answer",
      {{"provider", view.names.name},
       {"api", api},
       {"reason", reason},
       {"message", view.rejection ? view.rejection->message : ""},
       {"price_ucredits", view.offer ? json::Value(view.offer->price_ucredits) : nullptr},
       {"connect_rtt_us", view.connect_rtt_us ? json::Value(*view.connect_rtt_us) : nullptr}});
}

void Survey::close() {
  if (engine_) engine_->resolver->close();
}

void Survey::forget() {
  close();
  engine_.reset();
  found_at_.reset();
  providers_.clear();
  traces_.clear();
  reached_.clear();
  pings_.clear();
  evidence_.clear();
  traced_ = {};
  logged_.clear();
  connect_rtt_us_.clear();
}

}  // namespace icon::agent
