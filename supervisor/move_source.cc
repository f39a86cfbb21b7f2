#include "supervisor/move_source.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/serialize.hpp>

#include "base/log.h"
#include "migration/worker.h"
#include "supervisor/host.h"
#include "supervisor/move_parts.h"
#include "supervisor/net/network.h"

namespace icon::supervisor {
namespace {

namespace asio = boost::asio;
using boost::asio::experimental::awaitable_operators::operator||;
using migration::SourceAction;
using migration::SourceEvent;
using migration::SourceState;

constexpr Millis kQuiesceLimit{3'000};
constexpr Millis kReserveLimit{20'000};
constexpr Millis kRestoreLimit{45'000};
constexpr Millis kCommitLimit{15'000};
constexpr Millis kCommitPause{1'000};
constexpr Millis kSettleLimit{5'000};
// How long a service may stand still for its checkpoint to travel: some, and what the slowest link
// that makes sense (8 MB/s) needs.
constexpr Millis kTransferLimit{60'000};
constexpr std::uint64_t kTransferBytesPerMillisecond = 8'000;
constexpr Millis kDocumentLifetime{3600'000};

// A tar stream as the body of a request.
class TarUpload final : public UploadSource {
 public:
  explicit TarUpload(migration::TarSource& source) : source_(source) {}
  Task<Result<std::span<const char>>> next() override { co_return co_await source_.next(); }

 private:
  migration::TarSource& source_;
};

json::Object stub_of(const Host& host, std::int64_t epoch) {
  return {{"host", host.id}, {"api", host.config.api.to_string()}, {"epoch", epoch}};
}

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
  if (order.icon.id() != request.icon_id)
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
  if (order.epoch != icon->epoch + 1)
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
  std::unique_ptr<SourceMove> move(new SourceMove(host, stubs, checkpointer, std::move(record)));
  ICON_CHECK(move->read_documents());
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
  move->transaction_ = migration::SourceTransaction::recovered(state);
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
  ICON_TRY(const auto api, json::get_string(details, "api", 64));
  ICON_TRY(api_, Endpoint::parse(api));
  peer_id_ = order_.to.id();
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
      co_return divert();
    case SourceAction::kDestroyOriginal:
      co_return co_await destroy_original();
    case SourceAction::kSettleUp:
      co_await settle_up();
      co_return Status{};
    case SourceAction::kThaw:
      co_return host_.containers->thaw(icon_id());
    case SourceAction::kReleaseTraffic:
      co_return co_await release_traffic();
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
      co_return Status{};
    case SourceAction::kSendCommit:
    case SourceAction::kSendCommitAgain:
      break;  // perform() does these
  }
  co_return fail(Code::kInternal, "no such action");
}

Task<Result<json::Object>> SourceMove::call_peer(std::string method, std::string target,
                                                 json::Value body, Millis limit) {
  PeerRequest request;
  request.api = api_;
  request.peer = order_.to;
  request.method = std::move(method);
  request.target = std::move(target);
  if (!body.is_null()) request.body = boost::json::serialize(body);
  request.total_timeout = limit;
  ICON_CO_TRY(const auto answer, co_await host_.peers->call(std::move(request)));
  ICON_CO_TRY(const auto text, http::body_or_error(answer.response));
  if (text.empty()) co_return json::Object{};
  co_return json::parse_object(text, kPeerAnswerBytesMax);
}

Task<Status> SourceMove::upload(std::string target, std::vector<migration::TreePart> parts,
                                migration::ArchiveReport* report) {
  ICON_CO_TRY(auto source,
              migration::TarSource::start(co_await asio::this_coro::executor, std::move(parts)));
  TarUpload body(*source);
  PeerRequest request;
  request.api = api_;
  request.peer = order_.to;
  request.method = "PUT";
  request.target = std::move(target);
  request.upload = &body;
  request.on_progress = [this](std::uint64_t bytes) { record_.progress(bytes); };
  ICON_CO_TRY(const auto answer, co_await host_.peers->call(std::move(request)));
  ICON_CO_TRY(const auto text, http::body_or_error(answer.response));
  record_.end(answer.bytes_sent);
  if (report != nullptr) *report = source->report();
  co_return Status{};
}

Task<Status> SourceMove::reserve() {
  record_.begin("reserve");
  if (icon_.image_digest.empty()) {
    const std::string lower = icon_.lower_dir;
    auto digest = [lower = icon_.lower_dir] { return migration::tree_digest(lower); };
    ICON_CO_TRY(icon_.image_digest, co_await migration::run_on(worker_pool(), std::move(digest)));
    ICON_CO_CHECK(host_.journal->put_icon(icon_));
  }
  ICON_CO_TRY(const auto local, host_.network->open_tunnel(peer_id_));
  json::Array stubs{stub_of(host_, icon_.epoch)};
  for (const auto& earlier : earlier_stubs(host_, icon_id()))
    if (stubs.size() < kStubsMax) stubs.emplace_back(earlier);
  json::Object body{{"order", order_envelope_.to_json()},
                    {"lease", lease_envelope_.to_json()},
                    {"name", icon_.name},
                    {"from_name", host_.config.provider_name},
                    {"spec", icon_.spec.to_json()},
                    {"image", icon_.image_digest},
                    {"stubs", std::move(stubs)},
                    {"tunnel", tunnel_to_json(local)}};
  ICON_CO_TRY(const auto answer,
              co_await call_peer("POST", "/v1/migrations", std::move(body), kReserveLimit));
  ICON_CO_TRY(peer_has_image_, json::get_bool(answer, "has_image"));
  // A destination that does not know of it takes whole checkpoints.
  const auto* apart = answer.if_contains("memory_apart");
  peer_takes_memory_ = apart != nullptr && apart->is_bool() && apart->get_bool();
  ICON_CO_TRY(const auto* tunnel, json::get_object(answer, "tunnel"));
  ICON_CO_TRY(const auto remote, tunnel_from_json(*tunnel));
  ICON_CO_CHECK(host_.network->connect_tunnel(peer_id_, remote));
  record_.data().details["tunnel"] = *tunnel;
  ICON_CO_TRY(const auto public_address, json::get_string(answer, "public_address", 64));
  record_.data().details["public_address"] = public_address;
  ICON_CO_CHECK(host_.journal->put_tunnel(peer_id_, tunnel_row(api_, remote)));
  record_.end(0);
  co_return Status{};
}

Task<Status> SourceMove::stage() {
  if (!peer_has_image_) ICON_CO_CHECK(co_await send_image());
  ICON_CO_CHECK(co_await send_layer());
  ICON_CO_CHECK(co_await stubs_.prepare(order_.redirect));
  ICON_CO_CHECK(host_.network->prepare_hold(icon_id()));
  co_return co_await send_memory();
}

// While the service runs: what rarely changes, so that little is left for the gap.
Task<Status> SourceMove::send_memory() {
  if (!peer_takes_memory_) co_return Status{};
  const auto possible = co_await checkpointer_.memory_can_travel_apart();
  if (!possible) {
    log::info("migration.memory_in_the_gap",
              {{"migration", id()}, {"why", possible.error().message}});
    co_return Status{};
  }
  record_.begin("memory");
  ICON_CO_TRY(const auto cgroup, host_.containers->cgroup(icon_id()));
  PeerRequest request;
  request.api = api_;
  request.peer = order_.to;
  request.method = "PUT";
  request.target = "/v1/migrations/" + id() + "/memory";
  // The request may outlast this move by a turn of the loop.
  request.on_progress = [this, alive = std::weak_ptr<const bool>(alive_)](std::uint64_t bytes) {
    if (alive.expired()) return;
    memory_sent_ = bytes;
    record_.progress(bytes);
  };
  auto processes = [cgroup]() -> Result<std::vector<int>> { return cgroup.processes(); };
  ICON_CO_TRY(pages_, MoveMemory::start(host_, std::move(request), std::move(processes)));
  ICON_CO_CHECK(co_await pages_->until_converged());
  record_.end(memory_sent_);
  co_return Status{};
}

Task<Status> SourceMove::send_image() {
  record_.begin("image");
  std::vector<migration::TreePart> parts{{"image", icon_.lower_dir}};
  co_return co_await upload("/v1/images/" + icon_.image_digest + "?migration=" + id(),
                            std::move(parts), nullptr);
}

Task<Status> SourceMove::send_layer() {
  const auto paths = host_.containers->paths(icon_id());
  record_.begin("layer");
  auto scan = [upper = paths.upper] { return migration::scan_tree(upper); };
  ICON_CO_TRY(staged_layer_, co_await migration::run_on(worker_pool(), std::move(scan)));
  std::vector<migration::TreePart> parts{{"upper", paths.upper}, {"bin", paths.run + "/bin"}};
  co_return co_await upload("/v1/migrations/" + id() + "/layer", std::move(parts), nullptr);
}

Task<Status> SourceMove::quiesce() {
  record_.begin("quiesce");
  const auto topic = EventHub::icon_topic(icon_id());
  host_.events.publish(topic, {{"event", "quiesce"}, {"migration", id()}});
  const auto quiet = co_await host_.events.until_nobody_listens(topic, kQuiesceLimit);
  record_.end(0);
  if (!quiet)
    co_return fail(Code::kTimeout, "the agent did not let go of its descriptors within " +
                                       std::to_string(kQuiesceLimit.count()) + " ms");
  co_return Status{};
}

Status SourceMove::hold() {
  ICON_TRY(const auto cgroup, host_.containers->cgroup(icon_id()));
  FreezeGuard::Undo undo;
  undo.thaw_file =
      cgroup.freezer_directory() + (cgroup.is_v2() ? "/cgroup.freeze" : "/freezer.state");
  undo.thaw_text = cgroup.is_v2() ? "0" : "THAWED";
  undo.commands = net::undo_hold_commands(icon_.id, icon_.overlay);
  ICON_TRY(auto guard, FreezeGuard::arm(program_path("icon-freeze-guard"), undo));
  guard_.emplace(std::move(guard));
  gap_start_ = host_.clock.steady();
  return host_.network->hold_ingress(icon_id());
}

Task<Status> SourceMove::freeze() {
  record_.begin("freeze");
  ICON_CO_CHECK(co_await host_.containers->freeze(icon_id()));
  // Answers to what had arrived have left by now; a frozen kernel must not retransmit any more.
  ICON_CO_CHECK(host_.network->close_egress(icon_id()));
  record_.end(0);
  co_return Status{};
}

Task<Status> SourceMove::dump() {
  record_.begin("dump");
  const auto process = host_.containers->running(icon_id());
  if (!process) co_return fail(Code::kNotFound, "the ICON's process has ended");
  ICON_CO_TRY(memory_, MemoryDirectory::create(checkpoint_path(host_, id()), kCheckpointBytesMax));
  ICON_CO_TRY(const auto cgroup, host_.containers->cgroup(icon_id()));
  migration::DumpRequest request;
  request.init_pid = process->pid;
  request.image_dir = memory_.path();
  request.freezer_cgroup = cgroup.freezer_directory();
  request.external_mounts = host_.containers->external_mounts(icon_id());
  if (pages_) {
    ICON_CO_CHECK(co_await pages_->finish());
    request.memory_apart = true;
  }
  ICON_CO_TRY(const auto dumped, co_await checkpointer_.dump(std::move(request)));
  dumped_bytes_ = dumped.bytes;
  record_.end(dumped.bytes);
  co_return Status{};
}

Task<Status> SourceMove::transfer() {
  record_.begin("transfer");
  const auto paths = host_.containers->paths(icon_id());
  auto scan = [upper = paths.upper] { return migration::scan_tree(upper); };
  ICON_CO_TRY(const auto now, co_await migration::run_on(worker_pool(), std::move(scan)));
  const auto delta = migration::difference(staged_layer_, now);
  removed_ = delta.removed;
  ICON_CO_TRY(const auto run_tree, migration::scan_tree(paths.run));
  std::set<std::string> run_files;
  for (const auto& [path, stamp] : run_tree)
    if (path != "bin" && !path.starts_with("bin/")) run_files.insert(path);
  std::vector<migration::TreePart> parts{{"checkpoint", memory_.path()},
                                         {"upper", paths.upper, &delta.changed},
                                         {"run", paths.run, &run_files}};
  const Millis limit =
      kTransferLimit +
      Millis(static_cast<std::int64_t>(dumped_bytes_ / kTransferBytesPerMillisecond));
  asio::steady_timer timer(co_await asio::this_coro::executor, limit);
  auto sent = co_await (
      upload("/v1/migrations/" + id() + "/checkpoint", std::move(parts), &checkpoint_report_) ||
      timer.async_wait(asio::use_awaitable));
  if (sent.index() == 1)
    co_return fail(Code::kTimeout, "the checkpoint did not arrive within " +
                                       std::to_string(limit.count() / 1000) +
                                       " s: the link cannot keep up");
  ICON_CO_CHECK(std::get<0>(sent));
  if (pages_) {
    ICON_CO_CHECK(co_await pages_->until_sent());
    note_memory();
  }
  memory_.reset();
  co_return Status{};
}

// For the manifest, and for who asks later why the gap was long.
void SourceMove::note_memory() {
  const auto& report = pages_->report();
  checkpoint_report_.files["memory"] = std::to_string(report.bytes) + ":" + report.digest;
  json::Array rounds;
  for (const auto& round : report.rounds)
    rounds.push_back(json::Object{{"bytes", round.bytes}, {"took_us", round.took.count()}});
  record_.data().details["memory_rounds"] = std::move(rounds);
  record_.data().bytes += static_cast<std::int64_t>(report.bytes - memory_sent_);
  log::info("migration.memory", {{"migration", id()},
                                 {"bytes", report.bytes},
                                 {"rounds", report.rounds.size()},
                                 {"last_bytes", report.rounds.back().bytes},
                                 {"last_us", report.rounds.back().took.count()}});
}

Result<wire::Envelope> SourceMove::sealed_manifest() {
  wire::Manifest manifest;
  manifest.icon = order_.icon;
  manifest.migration_id = id();
  manifest.epoch = order_.epoch;
  manifest.from = order_.from;
  manifest.to = order_.to;
  for (const auto& [name, stamp] : checkpoint_report_.files) manifest.files[name] = stamp;
  for (const auto& path : removed_) manifest.removed.emplace_back(path);
  manifest.issued_ms = host_.clock.utc_ms();
  manifest.expires_ms = manifest.issued_ms + kDocumentLifetime.count();
  return wire::seal(host_.key, manifest);
}

Task<Status> SourceMove::restore_at_peer() {
  record_.begin("restore");
  ICON_CO_TRY(const auto manifest, sealed_manifest());
  json::Object body;
  body["manifest"] = manifest.to_json();
  const auto answer = co_await call_peer("POST", "/v1/migrations/" + id() + "/restore",
                                         std::move(body), kRestoreLimit);
  if (!answer) co_return fail(answer.error());
  record_.end(0);
  co_return Status{};
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
    return host_.journal->note_committed_epoch(icon_id(), order_.epoch);
  });
}

Task<SourceEvent> SourceMove::send_commit() {
  PeerRequest request;
  request.api = api_;
  request.peer = order_.to;
  request.method = "POST";
  request.target = "/v1/migrations/" + id() + "/commit";
  request.body = boost::json::serialize(json::Object{{"commit", record_.data().details["commit"]}});
  request.total_timeout = kCommitLimit;
  const auto answer = co_await host_.peers->call(std::move(request));
  // A lease that is over entitles nobody: the original may serve again.
  const bool lease_is_over = host_.clock.utc_ms() > lease_.expires_ms + wire::kClockSkewMax.count();
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

Status SourceMove::divert() {
  record_.begin("settle");
  StubRecord stub;
  stub.icon = icon_id();
  stub.icon_name = icon_.name;
  stub.next_host = peer_id_;
  stub.next_api = api_;
  ICON_TRY(const auto address, json::get_string(record_.data().details, "public_address", 64));
  ICON_TRY(stub.next_public, Address::parse(address));
  stub.mode = order_.redirect;
  stub.epoch = order_.epoch;
  stub.until_ms = lease_.expires_ms;
  json::Array ports;
  for (const auto& port : icon_.spec.ports) ports.emplace_back(port.to_json());
  stub.details = {{"overlay", icon_.overlay.to_string()}, {"ports", std::move(ports)}};
  ICON_TRY(const auto target, stubs_.target(stub));
  ICON_CHECK(host_.network->divert(icon_id(), target));
  if (gap_start_ != SteadyTime{})  // after a restart nobody knows
    record_.data().gap_us =
        std::chrono::duration_cast<Micros>(host_.clock.steady() - gap_start_).count();
  ICON_CHECK(host_.journal->put_stub(stub));
  return record_.enter(to_string(SourceState::kSettling));
}

Task<Status> SourceMove::destroy_original() {
  host_.icons->close_socket(icon_id());
  host_.containers->unwatch(icon_id());
  // First what is true, whatever becomes of the cleaning: the ICON is somewhere else. What cannot
  // be removed now is tried again when the supervisor starts.
  icon_.state = icon_state::kMoved;
  icon_.pid = 0;
  icon_.epoch = order_.epoch;
  ICON_CO_CHECK(host_.journal->put_icon(icon_));
  const auto destroyed = co_await host_.containers->destroy(icon_id());
  ICON_CO_CHECK(host_.network->detach(icon_id()));
  co_return destroyed;
}

Task<void> SourceMove::settle_up() {
  if (const auto published = co_await stubs_.publish_routes(); !published)
    log::error("stub.routes", {{"error", published.error().message}});
  for (const auto& stub : earlier_stubs(host_, icon_id())) co_await tell_stub_host(stub);
  if (!icon_.lease_id.empty()) {
    // The slot here was sold to this ICON: it ends now, and the receipt says what it cost.
    if (const auto receipt = host_.market->release(icon_.lease_id); !receipt)
      log::warn("migration.receipt", {{"migration", id()}, {"error", receipt.error().message}});
  }
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
  if (record_.data().details.contains("commit")) {
    icon_.epoch = order_.epoch;
    if (is_recovered_) {
      // Icons took it up as one that never wakes again.
      ICON_CHECK(host_.icons->open_socket(icon_id()));
      ICON_CHECK(host_.icons->watch(icon_id()));
    }
  }
  icon_.state = icon_state::kRunning;
  return host_.journal->put_icon(icon_);
}

Task<Status> SourceMove::release_traffic() {
  memory_.reset();
  pages_.reset();
  co_return host_.network->unhold(icon_id());
}

// In the background: a destination that does not answer forgets by itself.
void SourceMove::abort_at_peer() {
  send_in_background(host_, api_, order_.to, "POST", "/v1/migrations/" + id() + "/abort");
}

void SourceMove::report(bool moved) {
  const auto topic = EventHub::icon_topic(icon_id());
  if (moved) return;  // the destination's supervisor tells the agent, which is there now
  // The tunnel was opened for this move, unless a stub uses it.
  if (host_.network->close_tunnel(peer_id_)) (void)host_.journal->remove_tunnel(peer_id_);
  host_.events.publish(topic, {{"event", "rolled_back"}, {"migration", id()}, {"reason", error_}});
  record_.finish(to_string(SourceState::kRolledBack), error_);
}

}  // namespace icon::supervisor
