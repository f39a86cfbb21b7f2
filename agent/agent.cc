#include "agent/agent.h"

#include <signal.h>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

#include "agent/log_limit.h"
#include "agent/reseed.h"
#include "base/log.h"

namespace icon::agent {
namespace {

constexpr Millis kReportInterval{5'000};
constexpr Millis kDelegatedReportInterval{500};  // others decide by what it says
// Of a replica that ends: to agree with its parent first, to return its purse afterwards.
constexpr Millis kFarewell{30'000};

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

LifecycleLimits limits_for(const AgentOptions& options) {
  LifecycleLimits limits;
  limits.interval = Millis(options.policy.interval_ms);
  limits.drain = Millis(options.policy.replicate.drain_ms) + kFarewell;
  if (options.stop_grace.count() > 0) limits.kill = options.stop_grace;
  return limits;
}

LatencyLimits latency_limits(const Policy& policy) {
  LatencyLimits limits;
  limits.window = Millis(policy.window_ms);
  return limits;
}

bool asks_to_stop(int number) { return number == SIGTERM || number == SIGINT || number == SIGQUIT; }

}  // namespace

Agent::Agent(IoContext& loop, const Clock& clock, AgentOptions options)
    : loop_(loop),
      clock_(clock),
      options_(std::move(options)),
      lifecycle_(limits_for(options_)),
      init_(loop, {[this](int status) { feed(event::ServiceExited{status}); },
                   [this](int number) { signalled(number); }, [this] { woken(); }}),
      timers_(loop, [this](Timer timer) { feed(event::TimerFired{timer}); }),
      work_(loop),
      session_(loop),
      link_(options_.run_dir + "/supervisor.sock"),
      table_(clock, latency_limits(options_.policy)),
      monitor_(loop, table_),
      rounds_(loop, clock, link_, work_, table_, monitor_,
              {options_.policy, std::exchange(options_.identity, {}), options_.run_dir + "/state",
               [this](const auto& argv, auto on_exit) { return init_.run(argv, on_exit); }},
              [this](const Event& event) { feed(event); }),
      report_timer_(loop),
      stop_timer_(loop) {}

void Agent::start() { feed(event::Boot{}); }

void Agent::feed(const Event& event) {
  const State before = lifecycle_.state();
  const auto actions = lifecycle_.step(event, clock_.utc_ms());
  if (lifecycle_.state() != before)
    log::info("lifecycle.state", {{"state", to_string(lifecycle_.state())},
                                  {"from", to_string(before)},
                                  {"because", name_of(event)}});
  rounds_.set_draining(lifecycle_.state() == State::kDraining);
  rounds_.set_held(lifecycle_.held());
  for (const auto& action : actions) perform(action);
}

void Agent::perform(const Action& what) {
  std::visit(
      Overloaded{
          [&](const action::StartService&) { start_service(); },
          [&](const action::ForwardSignal& a) { init_.forward(a.number); },
          [&](const action::KillService&) {
            log::warn("service.killed", {{"reason", "stop_grace"}});
            init_.kill_all();
          },
          [&](const action::CloseDescriptors& a) { close_descriptors(a.migration); },
          [&](const action::Reconnect&) { reconnect(); },
          [&](const action::RunDiscovery& a) { rounds_.start_discovery(a.round, a.dry); },
          [&](const action::AskOffers& a) { rounds_.start_offers(a.round); },
          [&](const action::Decide& a) { rounds_.start_decision(a.round); },
          [&](const action::OrderMove& a) { rounds_.start_order(a.target, a.reason); },
          [&](const action::OrderReplica& a) { rounds_.start_replica_order(a.target, a.reason); },
          [&](const action::LeadAway&) { rounds_.lead_away(); },
          [&](const action::CancelWork&) {
            work_.cancel();
            rounds_.refuse_plans("its round was given up, or it has begun a move");
          },
          [&](const action::MoveEnded& a) { rounds_.move_ended(a); },
          [&](const action::ReportStatus&) { report_status(); },
          [&](const action::SetTimer& a) { timers_.set(a.timer, a.delay); },
          [&](const action::CancelTimer& a) { timers_.cancel(a.timer); },
          [&](const action::Log& a) {
            log::info(a.event, {{"detail", a.detail}});
          },
          [&](const action::Exit& a) { leave(a.code); },
      },
      what);
}

void Agent::start_service() {
  ServiceStreams streams;
  if (options_.supervised) {
    auto opened = open_service_streams(options_.run_dir + "/log/service.log");
    if (opened)
      streams = std::move(*opened);
    else
      log::error("service.log_failed", {{"message", opened.error().message}});
  }
  const auto status = init_.start(options_.command, streams, options_.supervised);
  if (!status) {
    log::error("service.start_failed", {{"message", status.error().message}});
    boost::asio::post(loop_, [this, code = exit_code_of_start(status.error())] {
      feed(event::ServiceExited{code});
    });
    return;
  }
  log::info("service.started",
            {{"command", options_.command.front()}, {"pid", init_.service_pid()}});
  boost::asio::post(loop_, [this] { feed(event::ServiceStarted{}); });
}

void Agent::signalled(int number) {
  if (number == SIGTERM) arm_stop_timer();
  if (asks_to_stop(number))
    feed(event::StopSignal{number});
  else
    feed(event::OtherSignal{number});
}

// Only when --stop-grace asks for it: a container runtime has a limit of its own, and it may be a
// long one for good reason.
void Agent::arm_stop_timer() {
  if (options_.stop_grace.count() == 0) return;
  stopping_ = true;
  stop_timer_.expires_after(options_.stop_grace);
  stop_timer_.async_wait([this](boost::system::error_code error) {
    if (!error) perform(action::KillService{});
  });
}

void Agent::leave(int code) {
  log::info("agent.exit", {{"code", code}});
  exit_code_ = code;
  rounds_.ended([this] { loop_.stop(); });
}

// ---- The supervisor ----

void Agent::reconnect() {
  if (!options_.supervised) return;
  // An attempt under way has a limit of its own; one that is being closed must be gone first.
  if (!session_.empty() && !closing_) return;
  if (std::exchange(closing_, false) && stopping_) arm_stop_timer();
  session_.when_empty([this] { session_.spawn("supervisor", supervisor_session()); });
}

Task<void> Agent::supervisor_session() {
  auto self = co_await link_.self();
  if (!self) {
    log::debug("supervisor.unreachable", {{"message", self.error().message}});
    boost::asio::post(loop_, [this] { feed(event::SupervisorLost{}); });
    co_return;
  }
  rounds_.delegate(false);  // that was another host's, until this one says so too
  if (rounds_.has_forgotten_key()) co_await learn_identity(*self);
  take_over(std::move(*self));
  const auto status = co_await link_.events(
      [this](const SupervisorEvent& event) { return on_supervisor_event(event); });
  if (closing_) co_return;
  log::warn("supervisor.lost", {{"message", status ? "the stream ended" : status.error().message}});
  boost::asio::post(loop_, [this] { feed(event::SupervisorLost{}); });
}

// A snapshot was taken of us. Whose key lies here now says which of the two we are.
Task<void> Agent::learn_identity(const Self& self) {
  auto identity = load_identity(options_.run_dir);
  const bool is_copy = self_ && self_->icon != self.icon;
  rounds_.take_identity(std::move(identity));
  if (!is_copy) co_return;
  log::info("replica.born", {{"icon", short_id(self.icon.id())},
                             {"parent", short_id(self_->icon.id())},
                             {"epoch", self.epoch}});
  table_.reset();
  self_.reset();
  const auto reseeded = co_await reseed(init_, options_.policy.replicate, options_.run_dir);
  if (!reseeded) log::error("replica.not_reseeded", {{"message", reseeded.error().message}});
  const std::string error = reseeded ? "" : reseeded.error().message;
  const std::size_t processes = reseeded ? *reseeded : 0;
  const auto& hooks = options_.policy.replicate;
  unreseeded_ = processes == 0 && hooks.command.empty() && hooks.signal == 0;
  const auto told = co_await link_.post_reseeded(processes, error);
  if (!told) log::error("replica.not_told", {{"message", told.error().message}});
  boost::asio::post(loop_, [this, epoch = self.epoch] { feed(event::Born{epoch}); });
}

void Agent::take_over(Self self) {
  const bool moved = self_ && self_->supervisor != self.supervisor;
  log::info("supervisor.found", {{"provider", self.provider_name},
                                 {"supervisor", short_id(self.supervisor.id())},
                                 {"public_address", self.public_address.to_string()},
                                 {"epoch", self.epoch},
                                 {"moved", moved}});
  self_ = std::move(self);
  rounds_.arrived(*self_, moved);
  watch_ports();
  report_periodically();
  boost::asio::post(loop_, [this, id = self_->supervisor.id(), epoch = self_->epoch] {
    feed(event::SupervisorFound{id, epoch});
  });
}

void Agent::watch_ports() {
  auto ports = options_.policy.watch.empty() ? self_->tcp_ports : options_.policy.watch;
  if (watching_ && ports == watched_ports_) return;
  watched_ports_ = std::move(ports);
  const auto status = monitor_.start(watched_ports_);
  watching_ = status.has_value();
  if (!status)
    log::warn("latency.unavailable", {{"code", to_string(status.error().code)},
                                      {"message", status.error().message},
                                      {"consequence", "this ICON cannot see its users"}});
}

bool Agent::on_supervisor_event(const SupervisorEvent& event) {
  using Kind = SupervisorEvent::Kind;
  if (event.kind != Kind::kPing && event.kind != Kind::kHello && event.kind != Kind::kKin)
    log::info("supervisor.event", {{"kind", event.name},
                                   {"migration", event.migration},
                                   {"epoch", event.epoch},
                                   {"reason", event.reason},
                                   {"target", event.target}});
  // Never from inside the stream's own coroutine: an event may end it.
  const auto later = [this](Event what) {
    boost::asio::post(loop_, [this, what = std::move(what)] { feed(what); });
  };
  switch (event.kind) {
    case Kind::kReplicate:
      if (lifecycle_.state() != State::kActive)
        rounds_.refuse(event.target, "the ICON is " + std::string(to_string(lifecycle_.state())) +
                                         "; try again when it is ACTIVE");
      else if (lifecycle_.held())
        rounds_.refuse(event.target, "the ICON is held; first: icon unhold");
      else
        later(event::Replicate{event.target});
      break;
    case Kind::kReplicaStarted:
      later(event::ReplicaStarted{event.migration});
      break;
    case Kind::kKin:
      boost::asio::post(loop_, [this, documents = event.documents] {
        if (!closing_) rounds_.hear(documents);
      });
      break;
    case Kind::kQuiesce:
      forget_key_ = event.replica;
      later(event::Quiesce{event.migration});
      break;
    case Kind::kMoved:
      later(event::Moved{event.migration, event.epoch});
      break;
    case Kind::kRolledBack:
      // The supervisor may have had another epoch when it was asked, just before.
      if (self_) self_->epoch = std::max(self_->epoch, event.epoch);
      later(event::RolledBack{event.migration, event.reason, event.epoch});
      break;
    case Kind::kMigrate:
      if (lifecycle_.state() != State::kActive)
        rounds_.refuse(event.target, "the ICON is " + std::string(to_string(lifecycle_.state())) +
                                         "; try again when it is ACTIVE");
      else
        later(event::OperatorMigrate{event.target});
      break;
    case Kind::kHold:
      later(event::Hold{});
      break;
    case Kind::kUnhold:
      later(event::Unhold{});
      break;
    case Kind::kPlan:
      rounds_.want_plan(event.request);
      if (lifecycle_.state() == State::kActive)
        later(event::Plan{});
      else
        rounds_.refuse_plans("it is " + std::string(to_string(lifecycle_.state())));
      break;
    case Kind::kStandby:
      if (event.standby && lifecycle_.state() == State::kActive)
        rounds_.answer_standby(*event.standby);
      break;
    case Kind::kDelegate:
      rounds_.delegate(event.on);
      if (!closing_) report_periodically();
      break;
    case Kind::kHello:
    case Kind::kPing:
    case Kind::kUnknown:
      break;
  }
  return true;
}

void Agent::close_descriptors(const std::string& migration) {
  log::info("migration.quiesce", {{"migration", migration}});
  closing_ = true;
  timers_.cancel_all();
  report_timer_.cancel();
  stop_timer_.cancel();
  monitor_.stop();
  watching_ = false;
  work_.cancel();
  work_.when_empty([this, migration] {
    rounds_.close(migration);
    if (std::exchange(forget_key_, false)) rounds_.forget_key();
    // Its end is the answer: from here on we may be frozen at any instruction.
    session_.cancel();
  });
}

void Agent::woken() {
  // Without a supervisor the signal is the service's, like all others.
  if (!options_.supervised) {
    init_.forward(SIGUSR1);
    return;
  }
  feed(event::Woken{});
}

// ---- Reports ----

void Agent::report_periodically() {
  report_timer_.expires_after(rounds_.is_delegated() ? kDelegatedReportInterval : kReportInterval);
  report_timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    // Relatives and disk are not told more often than ever.
    if (!rounds_.is_delegated() || ++reports_ >= kReportInterval / kDelegatedReportInterval) {
      reports_ = 0;
      rounds_.tick();
      limit_logs();
    }
    report_status();
    report_periodically();
  });
}

void Agent::limit_logs() {
  for (const char* name : {"/log/service.log", "/log/agent.log"})
    if (const auto status = limit_log(options_.run_dir + name, {}); !status)
      log::warn("log.limit_failed", {{"message", status.error().message}});
}

void Agent::report_status() {
  if (!options_.supervised || closing_ || !lifecycle_.has_supervisor()) return;
  // At most one is under way, and the last state always gets through.
  report_again_ = true;
  if (reporting_) return;
  reporting_ = true;
  work_.spawn("status", send_status());
}

Task<void> Agent::send_status() {
  // However this ends, also by a cancellation: the next report may go.
  const struct Done {
    bool& reporting;
    ~Done() { reporting = false; }
  } done{reporting_};
  do {
    report_again_ = false;
    StatusInput input = rounds_.status();
    input.lifecycle = lifecycle_.state();
    input.held = lifecycle_.held();
    if (unreseeded_) input.warnings.emplace_back(kUnreseeded);
    const auto status = co_await link_.put_status(status_json(input));
    if (!status) log::debug("status.not_sent", {{"message", status.error().message}});
  } while (report_again_);
}

}  // namespace icon::agent
