#include "supervisor/continuity/swarm.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/log.h"
#include "discovery/pinger.h"
#include "migration/worker.h"
#include "supervisor/continuity/continuity.h"
#include "supervisor/host.h"

namespace icon::supervisor {
namespace {

constexpr Millis kEvery{500};
constexpr Millis kCallLimit{1'500};  // of one node of etcd
// Without a meeting for so long the ICONs decide for themselves again.
constexpr Millis kAloneAfter{8'000};
// An agent that is just busy, or not yet listening after a move, does not hear an order.
constexpr Millis kSaidAgain{2'000};
constexpr discovery::PingLimits kPings{2, Millis(50), Millis(300), DistanceLimits{}.targets_max};

std::vector<SwarmUser> users_of(const json::Object& status) {
  std::vector<SwarmUser> users;
  const auto* prefixes = status.if_contains("prefixes");
  if (prefixes == nullptr || !prefixes->is_array()) return users;
  for (const auto& value : prefixes->get_array()) {  // the heaviest first
    if (users.size() >= kSwarmUsersMax) break;
    const auto* prefix = value.if_object();
    if (prefix == nullptr) continue;
    const auto text = json::get_string(*prefix, "user", 64);
    const auto address = text ? Address::parse(*text) : Result<Address>(fail(Code::kInvalid, ""));
    const auto weight = json::get_int(*prefix, "weight", 1, 1'000'000'000);
    if (address && weight) users.push_back({*address, *weight});
  }
  return users;
}

}  // namespace

Swarm::~Swarm() { pool_.join(); }

Status Swarm::start() {
  const auto& settings = host_.config.continuity;
  budget::ledger::EtcdOptions options;
  options.endpoints = settings.etcd_endpoints;
  options.prefix = "/icon/swarm/" + settings.swarm_name + "/";
  options.ca_file = settings.etcd_ca_file;
  options.certificate_file = settings.etcd_certificate_file;
  options.key_file = settings.etcd_key_file;
  options.call_limit = kCallLimit;
  ICON_TRY(auto board, SwarmBoard::create(std::move(options), host_.id));
  board_.emplace(std::move(board));
  met_ = host_.clock.steady();
  boost::asio::co_spawn(host_.loop, take_part(), boost::asio::detached);
  return {};
}

Task<void> Swarm::take_part() {
  boost::asio::steady_timer timer(host_.loop);
  bool was_well = true;
  for (;;) {
    const auto met = co_await meet();
    const auto now = host_.clock.steady();
    if (met) {
      met_ = now;
      follow();
      if (view_.is_here) co_await orchestrate();
      if (!measuring_) boost::asio::co_spawn(host_.loop, measure(), boost::asio::detached);
    } else if (was_well) {
      log::warn("swarm.no_meeting", {{"error", met.error().message}});
    }
    was_well = met.has_value();
    set_delegates(now - met_ < kAloneAfter && !view_.orchestrator.empty());
    timer.expires_after(kEvery);
    const auto [error] = co_await timer.async_wait(kNoThrow);
    if (error) co_return;
  }
}

Task<Status> Swarm::meet() {
  const std::string before = view_.orchestrator;
  auto work = [this, text = HostReport::text_of(report(), SwarmBoard::kTextBytesMax)] {
    return board_->meet(text);
  };
  auto view = co_await migration::run_on(pool_, std::move(work));
  traffic_ = board_->traffic();
  if (!view) co_return fail(view.error());
  view_ = std::move(*view);
  if (view_.orchestrator != before) {
    chooser_ = SwarmChooser();
    log::info("swarm.orchestrator", {{"host", view_.orchestrator}, {"term", view_.term}});
  }
  read_reports();
  co_return Status{};
}

void Swarm::read_reports() {
  reports_.clear();
  for (const auto& text : view_.reports) {
    const auto object = json::parse_object(text, SwarmBoard::kTextBytesMax);
    auto report =
        object ? HostReport::from_json(*object) : Result<HostReport>(fail(object.error()));
    // Only the owner's hosts.
    if (report && (report->host == host_.key.public_key() || contracts_.sibling(report->host)))
      reports_.push_back(std::move(*report));
  }
  standing_ = view_.standing();
  places_.decided(standing_);
}

Task<void> Swarm::orchestrate() {
  const auto decisions = chooser_.step(reports_, standing_, host_.clock.steady());
  if (decisions.empty()) co_return;
  auto work = [this, decisions, seen = view_] {
    return board_->decide_all(decisions, seen, host_.clock);
  };
  const auto written = co_await migration::run_on(pool_, std::move(work));
  for (std::size_t i = 0; i < written.count; ++i) {
    const auto& decision = decisions[i];
    chooser_.written(decision, host_.clock.steady());
    log::info("swarm.decided", {{"icon", decision.icon},
                                {"to", decision.to.id()},
                                {"move", decision.move},
                                {"term", view_.term}});
  }
  // The rest comes again after the next meeting, which shows who is who.
  if (written.count < decisions.size())
    log::info("swarm.undecided", {{"icons", decisions.size() - written.count},
                                  {"term", view_.term},
                                  {"error", written.ended ? "" : written.ended.error().message}});
}

HostReport Swarm::report() const {
  HostReport report;
  report.host = host_.key.public_key();
  // On a cordoned host there is no room for anybody.
  if (const auto free = host_.market->free(); free && host_.market->check_open())
    report.free = *free;
  report.free.cpu_millis = std::max<std::int64_t>(0, report.free.cpu_millis);
  report.free.memory_bytes = std::max<std::int64_t>(0, report.free.memory_bytes);
  report.free.bandwidth_bps = std::max<std::int64_t>(0, report.free.bandwidth_bps);
  report.kept = host_.continuity->given().icons();
  if (const auto icons = host_.journal->icons())
    for (const auto& icon : *icons)
      if ((icon.state == icon_state::kRunning || icon.state == icon_state::kMigrating) &&
          report.icons.size() < kSwarmIconsMax)
        report.icons.push_back({icon.id, icon.epoch, icon.spec.resources, icon.hold,
                                users_of(host_.icons->status(icon.id))});
  report.rtt_us = distances_.known();
  return report;
}

// Users of whose distance nothing is known, or nothing new.
Task<void> Swarm::measure() {
  auto targets = distances_.targets(reports_, host_.clock.steady());
  if (targets.empty()) co_return;
  measuring_ = true;
  const auto outcomes = co_await discovery::ping(std::move(targets), kPings);
  measuring_ = false;
  if (!outcomes) {
    log::warn("swarm.not_measured", {{"error", outcomes.error().message}});
    co_return;
  }
  for (const auto& outcome : *outcomes)
    if (outcome.rtt_us) distances_.answered(outcome.target, *outcome.rtt_us);
}

// For the ICONs of this host. What an agent does not follow is decided anew after a while.
void Swarm::follow() {
  for (const auto& [icon, decision] : standing_) {
    if (!decision.move || decision.term != view_.term) continue;
    const auto row = host_.journal->find_icon(icon);
    if (!row || !*row || (*row)->state != icon_state::kRunning || (*row)->hold ||
        (*row)->epoch != decision.epoch)
      continue;
    if (contracts_.sibling(decision.to) == nullptr) continue;
    Followed& last = followed_[icon];
    const auto& text = view_.decisions.at(icon).text;
    const auto now = host_.clock.steady();
    if (last.text == text && now - last.said < kSaidAgain) continue;
    last = {text, now};
    host_.events.publish(EventHub::icon_topic(icon),
                         {{"event", "migrate"}, {"to", decision.to.id()}, {"reason", "swarm"}});
  }
  std::erase_if(followed_, [&](const auto& entry) { return !standing_.contains(entry.first); });
}

void Swarm::set_delegates(bool delegates) {
  if (std::exchange(delegates_, delegates) == delegates) return;
  log::info("swarm.delegates", {{"delegates", delegates}});
  const auto icons = host_.journal->icons();
  if (!icons) return;
  for (const auto& icon : *icons)
    if (icon.state == icon_state::kRunning)
      host_.events.publish(EventHub::icon_topic(icon.id),
                           {{"event", "delegate"}, {"on", delegates}});
}

HeldStandbys::Wanted Swarm::wanted() {
  HeldStandbys::Wanted wanted;
  const auto icons = host_.journal->icons();
  if (!icons) return wanted;
  std::map<std::string, std::int64_t> here;
  for (const auto& icon : *icons)
    if (icon.state == icon_state::kRunning || icon.state == icon_state::kMigrating)
      here[icon.id] = icon.epoch;
  for (const auto& [icon, place] : places_.of(here))
    if (contracts_.sibling(place.to) != nullptr) wanted.insert({icon, place.to});
  return wanted;
}

json::Object Swarm::describe() const {
  json::Array decisions;
  for (const auto& [icon, decision] : standing_) decisions.emplace_back(decision.to_json());
  return {{"host", view_.orchestrator}, {"here", view_.is_here},
          {"delegates", delegates_},    {"term", view_.term},
          {"hosts", reports_.size()},   {"decisions", std::move(decisions)}};
}

}  // namespace icon::supervisor
