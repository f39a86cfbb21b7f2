#include "supervisor/move_source.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/serialize.hpp>

#include "base/log.h"
#include "supervisor/host.h"
#include "supervisor/move_parts.h"

namespace icon::supervisor {
namespace {

namespace asio = boost::asio;
using migration::SourceAction;
using migration::SourceEvent;
using migration::SourceState;

constexpr Millis kCommitLimit{15'000};
constexpr Millis kCommitPause{1'000};
// A lease that ended while we were away: so long its host is asked before we believe it is gone.
constexpr Millis kAskAtLeast{120'000};
constexpr Millis kSettleLimit{5'000};

}  // namespace

Result<std::unique_ptr<SourceMove>> SourceMove::create(Host& host, Stubs& stubs,
                                                       migration::Checkpointer& checkpointer,
                                                       MoveRequest request) {
  const UtcMillis now = host.clock.utc_ms();
  ICON_TRY(const auto order, wire::open<wire::MoveOrder>(request.order));
  ICON_TRY(const auto lease, wire::open<wire::Lease>(request.lease));
  ICON_TRY(const auto bid, lease.verified_bid());
  ICON_CHECK(wire::check_times(order.issued_ms, order.expires_ms, now));
  ICON_CHECK(wire::check_times(lease.issued_ms, lease.expires_ms, now));
  if (!request.birth && order.icon.id() != request.icon_id)
    return fail(Code::kUnauthenticated, "the order was signed by another ICON");
  if (order.from.id() != host.id)
    return fail(Code::kConflict, "the order names another host as its source");
  if (order.to == order.from) return fail(Code::kConflict, "the ICON is on that host already");
  if (lease.provider != order.to || lease.lease_id != order.lease_id || bid.icon != order.icon)
    return fail(Code::kInvalid, "the lease does not belong to the order");
  ICON_TRY(const auto icon, host.journal->find_icon(request.icon_id));
  if (!icon) return fail(Code::kNotFound, "no such ICON here: " + short_id(request.icon_id));
  if (icon->state != icon_state::kRunning)
    return fail(Code::kConflict, "the ICON is " + icon->state + ", only a running one can move");
  if (request.birth) ICON_CHECK(check_replica(request, order, *icon, now));
  if (!request.birth && order.epoch != icon->epoch + 1)
    return fail(Code::kConflict, "the order is for epoch " + std::to_string(order.epoch) +
                                     ", the next one is " + std::to_string(icon->epoch + 1));
  ICON_TRY(const auto known, host.journal->find_migration(order.migration_id));
  if (known) return fail(Code::kConflict, "this order was carried out already");
  ICON_TRY(const auto offer_name,
           json::get_string_or(request.evidence, "to_name", short_id(order.to.id())));

  MigrationRecord record;
  record.id = order.migration_id;
  record.icon = request.icon_id;
  record.icon_name = icon->name;
  record.role = "source";
  record.peer = order.to.id();
  record.from = host.config.provider_name;
  record.to = offer_name;
  record.epoch = order.epoch;
  record.state = to_string(SourceState::kReserving);
  record.reason = order.reason;
  record.started_ms = now;
  record.evidence = std::move(request.evidence);
  record.details = {{"order", request.order.to_json()},
                    {"lease", request.lease.to_json()},
                    {"api", request.api.to_string()}};
  if (request.birth) record.details["birth"] = request.birth->to_json();
  std::unique_ptr<SourceMove> move(new SourceMove(host, stubs, checkpointer, std::move(record)));
  ICON_CHECK(move->read_documents());
  move->transaction_ = migration::SourceTransaction(move->kind());
  move->child_key_ = std::move(request.child_key);
  // As in the journal: the row is written again when the image has its digest.
  move->icon_.state = icon_state::kMigrating;
  ICON_CHECK(host.journal->transaction([&]() -> Status {
    ICON_CHECK(move->record_.save());
    return host.journal->set_icon_state(request.icon_id, icon_state::kMigrating);
  }));
  return move;
}

Result<std::unique_ptr<SourceMove>> SourceMove::recover(Host& host, Stubs& stubs,
                                                        migration::Checkpointer& checkpointer,
                                                        MigrationRecord record) {
  ICON_TRY(const auto state, migration::source_state_from(record.state));
  std::unique_ptr<SourceMove> move(new SourceMove(host, stubs, checkpointer, std::move(record)));
  ICON_CHECK(move->read_documents());
  move->transaction_ = migration::SourceTransaction::recovered(state, move->kind());
  move->error_ = "the supervisor was restarted";
  move->is_recovered_ = true;
  // The memory that our predecessor had dumped.
  MemoryDirectory::remove_left_over(checkpoint_path(host, move->id()));
  return move;
}

Status SourceMove::read_documents() {
  const auto& details = record_.data().details;
  ICON_TRY(const auto* order, json::get_object(details, "order"));
  ICON_TRY(order_envelope_, wire::parse_envelope(json::Value(*order)));
  ICON_TRY(order_, wire::open<wire::MoveOrder>(order_envelope_));
  ICON_TRY(const auto* lease, json::get_object(details, "lease"));
  ICON_TRY(lease_envelope_, wire::parse_envelope(json::Value(*lease)));
  ICON_TRY(lease_, wire::open<wire::Lease>(lease_envelope_));
  if (details.contains("birth")) {
    ICON_TRY(const auto* birth, json::get_object(details, "birth"));
    ICON_TRY(const auto envelope, wire::parse_envelope(json::Value(*birth)));
    ICON_TRY(birth_, wire::open<wire::Birth>(envelope));
  }
  ICON_TRY(const auto api, json::get_string(details, "api", 64));
  ICON_TRY(api_, Endpoint::parse(api));
  peer_id_ = order_.to.id();
  tunnel_use_ = host_.tunnel_uses.of(peer_id_);
  if (order_.redirect == "redirect") redirector_use_ = stubs_.use();
  ICON_TRY(const auto icon, host_.journal->find_icon(record_.data().icon));
  if (!icon) return fail(Code::kNotFound, "the ICON of this migration is not in the journal");
  icon_ = *icon;
  return {};
}

Task<void> SourceMove::run() {
  log::info("migration.start", {{"migration", id()},
                                {"icon", icon_id()},
                                {"to", peer_id_},
                                {"reason", order_.reason},
                                {"state", record_.data().state}});
  auto event = SourceEvent::kStart;
  while (!transaction_.finished()) {
    const auto actions = transaction_.step(event);
    // The state before the commit is written when it is entered, the commit by its own action.
    if (!transaction_.finished() && !transaction_.committed()) {
      if (const auto saved = record_.enter(to_string(transaction_.state())); !saved)
        error_ = saved.error().message;
    }
    if (actions.empty()) break;
    event = co_await perform(actions);
  }
}

Task<SourceEvent> SourceMove::perform(const std::vector<SourceAction>& actions) {
  for (const SourceAction action : actions) {
    if (action == SourceAction::kSendCommit || action == SourceAction::kSendCommitAgain) {
      if (action == SourceAction::kSendCommitAgain) {
        asio::steady_timer pause(co_await asio::this_coro::executor, kCommitPause);
        co_await pause.async_wait(asio::use_awaitable);
      }
      co_return co_await send_commit();
    }
    const auto status = co_await perform_one(action);
    if (status) continue;
    log::warn("migration.failed", {{"migration", id()},
                                   {"action", to_string(action)},
                                   {"code", to_string(status.error().code)},
                                   {"error", status.error().message}});
    const bool undoing = transaction_.state() == SourceState::kRollingBack ||
                         transaction_.state() == SourceState::kSettling;
    if (!undoing) {
      error_ = status.error().message;
      co_return SourceEvent::kWorkFailed;
    }
  }
  co_return SourceEvent::kWorkDone;
}

Task<Status> SourceMove::perform_one(SourceAction action) {
  switch (action) {
    case SourceAction::kReserve:
      co_return co_await reserve();
    case SourceAction::kStage:
      co_return co_await stage();
    case SourceAction::kQuiesceAgent:
      co_return co_await quiesce();
    case SourceAction::kHoldTraffic:
      co_return hold();
    case SourceAction::kFreeze:
      co_return co_await freeze();
    case SourceAction::kDump:
      co_return co_await dump();
    case SourceAction::kTransfer:
      co_return co_await transfer();
    case SourceAction::kRestoreAtPeer:
      co_return co_await restore_at_peer();
    case SourceAction::kDisarmGuard:
      if (!guard_) co_return Status{};
      co_return guard_->disarm();
    case SourceAction::kJournalCommit:
      co_return journal_commit();
    case SourceAction::kDivertTraffic:
      co_return co_await divert();
    case SourceAction::kDestroyOriginal:
      co_return co_await destroy_original();
    case SourceAction::kSettleUp:
      co_await settle_up();
      co_return Status{};
    case SourceAction::kThaw:
      co_return host_.containers->thaw(icon_id());
    case SourceAction::kReleaseTraffic:
      if (is_replica()) co_return serve_on();
      co_return host_.network->unhold(icon_id());
    case SourceAction::kWakeAgent:
      co_return host_.containers->wake(icon_id());
    case SourceAction::kJournalRollback:
      co_return journal_rollback();
    case SourceAction::kAbortPeer:
      abort_at_peer();
      co_return Status{};
    case SourceAction::kReportMoved:
      report(true);
      co_return Status{};
    case SourceAction::kReportRolledBack:
      report(false);
      co_await drop_stream();
      co_return Status{};
    case SourceAction::kSendCommit:
    case SourceAction::kSendCommitAgain:
      break;  // perform() does these
  }
  co_return fail(Code::kInternal, "no such action");
}

Status SourceMove::journal_commit() {
  record_.begin("commit");
  wire::Commit commit;
  commit.icon = order_.icon;
  commit.migration_id = id();
  commit.epoch = order_.epoch;
  commit.from = order_.from;
  commit.to = order_.to;
  commit.issued_ms = host_.clock.utc_ms();
  commit.expires_ms = lease_.expires_ms;
  ICON_TRY(const auto sealed, wire::seal(host_.key, commit));
  record_.data().details["commit"] = sealed.to_json();
  return host_.journal->transaction([&]() -> Status {
    ICON_CHECK(record_.enter(to_string(SourceState::kReleasing)));
    if (is_replica()) return {};
    return host_.journal->note_committed_epoch(icon_id(), order_.epoch);
  });
}

bool SourceMove::is_on_hold() const {
  const auto row = host_.journal->find_icon(icon_id());
  return row && *row ? (*row)->hold : icon_.hold;
}

Task<SourceEvent> SourceMove::send_commit() {
  if (!is_replica()) {
    if (const auto open = host_.network->expect_from(icon_id(), peer_id_); !open)
      log::warn("migration.way_back", {{"migration", id()}, {"error", open.error().message}});
  }
  PeerRequest request;
  request.api = api_;
  request.peer = order_.to;
  request.method = "POST";
  request.target = "/v1/migrations/" + id() + "/commit";
  json::Object body{{"commit", record_.data().details["commit"]}};
  if (!is_replica()) body["hold"] = is_on_hold();
  request.body = boost::json::serialize(body);
  request.total_timeout = kCommitLimit;
  if (asking_since_ == SteadyTime{}) asking_since_ = host_.clock.steady();
  const auto answer = co_await host_.peers->call(std::move(request));
  // A lease that is over entitles nobody: the original may serve again.
  const bool lease_is_over =
      host_.clock.utc_ms() > lease_.expires_ms + wire::kClockSkewMax.count() &&
      host_.clock.steady() - asking_since_ >= kAskAtLeast;
  if (!answer) {
    error_ = answer.error().message;
    if (lease_is_over) co_return SourceEvent::kPeerAborted;
    log::warn("migration.commit_unanswered", {{"migration", id()}, {"error", error_}});
    co_return SourceEvent::kPeerUnreachable;
  }
  const auto& response = answer->response;
  if (response.status == 200) {
    record_.end(0);
    co_return SourceEvent::kWorkDone;
  }
  const auto text = http::body_or_error(response);
  error_ = text ? "unexpected answer to the commit" : text.error().message;
  // The destination's key says that it gave the copy up. That it knows of none says nothing: it may
  // have lost its journal, not the copy.
  if (response.status == 410 || lease_is_over) co_return SourceEvent::kPeerAborted;
  co_return SourceEvent::kPeerUnreachable;
}

Task<Status> SourceMove::divert() {
  record_.begin("settle");
  StubRecord stub;
  stub.icon = icon_id();
  stub.icon_name = icon_.name;
  stub.next_host = peer_id_;
  stub.next_api = api_;
  ICON_CO_TRY(const auto address, json::get_string(record_.data().details, "public_address", 64));
  ICON_CO_TRY(stub.next_public, Address::parse(address));
  stub.mode = order_.redirect;
  stub.epoch = order_.epoch;
  stub.until_ms = lease_.expires_ms;
  json::Array ports;
  for (const auto& port : icon_.spec.ports) ports.emplace_back(port.to_json());
  stub.details = {{"overlay", icon_.overlay.to_string()}, {"ports", std::move(ports)}};
  // Prepared long ago, unless one of us has died since.
  if (const auto prepared = co_await stubs_.prepare(stub.mode); !prepared) {
    log::error("stub.no_redirector", {{"migration", id()},
                                      {"error", prepared.error().message},
                                      {"consequence", "new users are forwarded instead"}});
    stub.mode = "forward";
  }
  ICON_CO_TRY(const auto target, stubs_.target(stub));
  ICON_CO_CHECK(host_.network->divert(icon_id(), target));
  if (gap_start_ != SteadyTime{})  // after a restart nobody knows
    record_.data().gap_us =
        std::chrono::duration_cast<Micros>(host_.clock.steady() - gap_start_).count();
  ICON_CO_CHECK(host_.journal->put_stub(stub));
  ICON_CO_CHECK(record_.enter(to_string(SourceState::kSettling)));
  // Before the cleaning, which can take its time: until then new users are told to wait.
  if (const auto published = co_await stubs_.publish_routes(); !published)
    log::error("stub.routes", {{"error", published.error().message}});
  co_return Status{};
}

Task<Status> SourceMove::destroy_original() {
  host_.icons->left(icon_id());
  host_.containers->unwatch(icon_id());
  // First what is true, whatever becomes of the cleaning: the ICON is somewhere else. What cannot
  // be removed now is tried again when the supervisor starts.
  icon_.state = icon_state::kMoved;
  icon_.pid = 0;
  icon_.epoch = order_.epoch;
  ICON_CO_CHECK(host_.journal->put_icon(icon_));
  const auto destroyed = co_await host_.containers->destroy(icon_id());
  co_await drop_stream();
  ICON_CO_CHECK(host_.network->detach(icon_id()));
  co_return destroyed;
}

Task<void> SourceMove::settle_up() {
  if (is_replica()) {
    co_await drop_stream();
    record_.finish(to_string(SourceState::kDone), "");
    co_return;
  }
  redirector_use_.reset();
  for (const auto& stub : earlier_stubs(host_, icon_id())) co_await tell_stub_host(stub);
  if (!icon_.lease_id.empty()) {
    // The slot here was sold to this ICON: it ends now, and the receipt says what it cost.
    if (const auto receipt = host_.market->release(icon_.lease_id); !receipt)
      log::warn("migration.receipt", {{"migration", id()}, {"error", receipt.error().message}});
  }
  if (const auto gone = forget_earlier_stubs(host_, icon_id()); !gone)
    log::warn("migration.journal", {{"migration", id()}, {"error", gone.error().message}});
  record_.end(0);
  record_.finish(to_string(SourceState::kDone), "");
}

// A=>B=>C: this host is B, `stub` names A. Until A knows, its packets come through here.
Task<void> SourceMove::tell_stub_host(const json::Object& stub) {
  const auto host_id = json::get_string(stub, "host", 64);
  const auto api = json::get_string(stub, "api", 64);
  if (!host_id || !api) co_return;
  const auto key = PublicKey::from_id(*host_id);
  const auto endpoint = Endpoint::parse(*api);
  if (!key || !endpoint || *key == order_.to) co_return;  // its new host needs no stub
  PeerRequest request;
  request.api = *endpoint;
  request.peer = *key;
  request.method = "POST";
  request.target = "/v1/stubs/" + icon_id();
  request.body = boost::json::serialize(
      json::Object{{"order", order_envelope_.to_json()},
                   {"commit", record_.data().details["commit"]},
                   {"api", api_.to_string()},
                   {"public_address", record_.data().details["public_address"]}});
  request.total_timeout = kSettleLimit;
  PeerRequest once = request;
  const bool told = co_await deliver(host_, std::move(once));
  if (!told) deliver_later(host_, std::move(request), lease_.expires_ms);
}

// After a COMMIT the destination has seen the new epoch, although nothing runs there: it is used
// up.
Status SourceMove::journal_rollback() {
  if (record_.data().details.contains("commit") && !is_replica()) {
    icon_.epoch = order_.epoch;
    if (is_recovered_) {
      // Icons took it up as one that never wakes again.
      ICON_CHECK(host_.icons->open_socket(icon_id()));
      ICON_CHECK(host_.icons->watch(icon_id()));
    }
  }
  icon_.state = icon_state::kRunning;
  icon_.hold = is_on_hold();
  return host_.journal->put_icon(icon_);
}

// In the background: a destination that does not answer forgets by itself. One that has never heard
// of the move, because it died before, holds a slot for it all the same.
void SourceMove::abort_at_peer() {
  send_in_background(host_, api_, order_.to, "POST", "/v1/migrations/" + id() + "/abort");
  PeerRequest back;
  back.api = api_;
  back.peer = order_.to;
  back.method = "DELETE";
  back.target = "/v1/leases/" + order_.lease_id;
  back.body = boost::json::serialize(json::Object{{"order", order_envelope_.to_json()}});
  back.total_timeout = kSettleLimit;
  deliver_later(host_, std::move(back), lease_.expires_ms);
}

void SourceMove::report(bool moved) {
  if (is_replica()) return report_replica(moved);
  const auto topic = EventHub::icon_topic(icon_id());
  if (moved) return;  // the destination's supervisor tells the agent, which is there now
  tunnel_use_.reset();
  close_unused_tunnel(host_, peer_id_);
  host_.events.publish(
      topic,
      {{"event", "rolled_back"}, {"migration", id()}, {"epoch", icon_.epoch}, {"reason", error_}});
  record_.finish(to_string(SourceState::kRolledBack), error_);
}

}  // namespace icon::supervisor
