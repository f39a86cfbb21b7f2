#include "supervisor/continuity/continuity.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/json/serialize.hpp>

#include "base/log.h"
#include "supervisor/api_parts.h"
#include "supervisor/host.h"
#include "supervisor/peer_client.h"

namespace icon::supervisor {
namespace {

constexpr Millis kAgreeLimit{10'000};
constexpr Millis kRetryFirst{1'000};
constexpr Millis kRetryMax{60'000};
constexpr std::size_t kAnswerBytesMax = 128 << 10;

const char* name_of(ContinuityMode mode) {
  switch (mode) {
    case ContinuityMode::kSingle:
      return "single";
    case ContinuityMode::kCluster:
      return "cluster";
    case ContinuityMode::kSwarm:
      return "swarm";
  }
  return "";
}

}  // namespace

Continuity::Continuity(Host& host, std::function<bool(const std::string& icon)> is_leaving)
    : host_(host),
      contracts_(host.config, host.key, host.clock, *host.journal),
      given_(host, contracts_, std::move(is_leaving)),
      held_(host, contracts_) {
  host_.market->set_aside([this](std::string_view except) { return given_.set_aside(except); });
}

Continuity::~Continuity() { host_.market->set_aside({}); }

void Continuity::add_peer_routes(http::Router& router) {
  given_.add_routes(router);
  router.on("POST", "/v1/continuity/contracts",
            answering(200, [this](http::Request request) -> Task<Result<json::Value>> {
              if (!request.peer_key) co_return fail(Code::kUnauthenticated, "no key");
              ICON_CO_TRY(const auto body, body_of(request));
              ICON_CO_TRY(const auto proposal, get_envelope(body, "proposal"));
              ICON_CO_TRY(const auto contract, contracts_.accept(proposal, *request.peer_key));
              co_return json::Object{{"contract", contract.to_json()}};
            }));
}

Task<void> Continuity::recover() {
  co_await given_.recover();
  if (host_.config.continuity.mode != ContinuityMode::kSwarm) co_return;
  swarm_ = std::make_unique<Swarm>(host_, contracts_);
  if (const auto started = swarm_->start(); !started)
    log::error("swarm.not_started", {{"error", started.error().message}});
}

void Continuity::look_after() {
  expiring_.begin(host_.loop, given_.expire());
  if (host_.config.continuity.mode == ContinuityMode::kSingle) return;
  renew_contracts();
  held_.tick(wanted());
}

void Continuity::renew_contracts() {
  const auto now = host_.clock.steady();
  for (const auto& sibling : host_.config.continuity.siblings) {
    Attempt& attempt = attempts_[sibling.id.id()];
    if (attempt.under_way || now < attempt.next || !contracts_.is_due(sibling.id)) continue;
    attempt.under_way = true;
    boost::asio::co_spawn(host_.loop, agree(sibling.id), boost::asio::detached);
  }
}

Task<void> Continuity::agree(PublicKey sibling) {
  const auto agreed = co_await agree_with(sibling);
  Attempt& attempt = attempts_[sibling.id()];
  attempt.under_way = false;
  if (agreed) {
    attempt.retry = Millis(0);
    co_return;
  }
  attempt.retry = std::clamp(attempt.retry * 2, kRetryFirst, kRetryMax);
  attempt.next = host_.clock.steady() + attempt.retry;
  log::warn("contract.not_made", {{"sibling", sibling.id()}, {"error", agreed.error().message}});
}

Task<Status> Continuity::agree_with(PublicKey key) {
  const auto* sibling = contracts_.sibling(key);
  if (sibling == nullptr) co_return fail(Code::kNotFound, "no sibling any more");
  ICON_CO_TRY(const auto proposal, contracts_.propose(key));
  PeerRequest request;
  request.api = sibling->api;
  request.peer = key;
  request.method = "POST";
  request.target = "/v1/continuity/contracts";
  request.body = boost::json::serialize(json::Object{{"proposal", proposal.to_json()}});
  request.total_timeout = kAgreeLimit;
  ICON_CO_TRY(const auto answer, co_await host_.peers->call(std::move(request)));
  const auto text = http::body_or_error(answer.response);
  if (!text) {
    contracts_.forget_proposal(key);
    co_return fail(text.error());
  }
  ICON_CO_TRY(const auto object, json::parse_object(*text, kAnswerBytesMax));
  ICON_CO_TRY(const auto contract, get_envelope(object, "contract"));
  ICON_CO_CHECK(contracts_.note(key, contract));
  log::info("contract.made", {{"sibling", key.id()}});
  co_return Status{};
}

HeldStandbys::Wanted Continuity::wanted() {
  if (swarm_) return swarm_->wanted();
  HeldStandbys::Wanted wanted;
  const auto icons = host_.journal->icons();
  if (!icons) return wanted;
  for (const auto& icon : *icons) {
    if (icon.state != icon_state::kRunning && icon.state != icon_state::kMigrating) continue;
    for (const auto& sibling : host_.config.continuity.siblings)
      wanted.insert({icon.id, sibling.id});
  }
  return wanted;
}

Status Continuity::consented(const std::string& icon, const wire::Envelope& order) {
  return held_.consented(icon, order);
}

json::Object Continuity::describe() const {
  json::Array contracts;
  for (const auto& sibling : host_.config.continuity.siblings) {
    const auto held = contracts_.held(sibling.id);
    const auto contract = held ? wire::ContinuityContract::from_json(held->body)
                               : Result<wire::ContinuityContract>(fail(Code::kNotFound, ""));
    contracts.emplace_back(json::Object{{"sibling", sibling.id.id()},
                                        {"name", sibling.name},
                                        {"expires_ms", contract ? contract->expires_ms : 0}});
  }
  json::Array standbys = given_.describe();
  for (auto& standby : held_.describe()) standbys.push_back(std::move(standby));
  json::Object all{{"mode", name_of(host_.config.continuity.mode)},
                   {"contracts", std::move(contracts)},
                   {"standbys", std::move(standbys)}};
  if (swarm_) all["orchestrator"] = swarm_->describe();
  return all;
}

}  // namespace icon::supervisor
