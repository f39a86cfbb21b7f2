// The source's work from RESERVE to RESTORE: what is sent, in which order, and what is stopped for
// it. move_source.cc decides when, move_source_files.cc has the files.
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/serialize.hpp>

#include "base/encoding.h"
#include "base/file.h"
#include "base/log.h"
#include "migration/datagrams.h"
#include "migration/memory/forecast.h"
#include "migration/memory/image_memory.h"
#include "migration/worker.h"
#include "supervisor/continuity/continuity.h"
#include "supervisor/host.h"
#include "supervisor/movable.h"
#include "supervisor/move_parts.h"
#include "supervisor/move_source.h"
#include "supervisor/net/network.h"
#include "supervisor/traits.h"

namespace icon::supervisor {
namespace {

namespace asio = boost::asio;
using boost::asio::experimental::awaitable_operators::operator||;

constexpr Millis kQuiesceLimit{3'000};
constexpr Micros kDatagramsLimit{10'000};  // in the gap, but only while any are unread
constexpr Micros kDatagramsPause{200};
constexpr Millis kReserveLimit{20'000};
constexpr Millis kRestoreLimit{45'000};
// How long a service may stand still for its checkpoint to travel: some, and what the slowest link
// that makes sense (8 MB/s) needs.
constexpr Millis kTransferLimit{60'000};
constexpr std::uint64_t kTransferBytesPerMillisecond = 8'000;
constexpr Millis kDocumentLifetime{3600'000};

// A thread of its own for work on the memory of processes, some ms per GB: behind bulk work a move
// would not end, or its service would write on what then travels in the gap.
asio::thread_pool& memory_pool() {
  static asio::thread_pool pool(1);
  return pool;
}

json::Object stub_of(const Host& host, std::int64_t epoch) {
  return {{"host", host.id}, {"api", host.config.api.to_string()}, {"epoch", epoch}};
}

}  // namespace

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

Task<Status> SourceMove::reserve() {
  record_.begin("reserve");
  // Now, while the service runs, rather than by a failed dump in the gap.
  ICON_CO_CHECK(co_await refuse_unmovable(host_, icon_id(), id()));
  if (icon_.image_digest.empty()) {
    const std::string lower = icon_.lower_dir;
    auto digest = [lower = icon_.lower_dir] { return migration::tree_digest(lower); };
    ICON_CO_TRY(icon_.image_digest, co_await migration::run_on(worker_pool(), std::move(digest)));
    icon_.hold = is_on_hold();
    ICON_CO_CHECK(host_.journal->put_icon(icon_));
  }
  ICON_CO_TRY(const auto local, host_.network->open_tunnel(peer_id_));
  json::Array stubs;  // of a replica there are none
  if (!is_replica()) stubs.emplace_back(stub_of(host_, icon_.epoch));
  for (const auto& earlier : earlier_stubs(host_, icon_id()))
    if (!stubs.empty() && stubs.size() < kStubsMax) stubs.emplace_back(earlier);
  json::Object body{{"order", order_envelope_.to_json()},
                    {"lease", lease_envelope_.to_json()},
                    {"name", icon_.name},
                    {"from_name", host_.config.provider_name},
                    {"spec", icon_.spec.to_json()},
                    {"image", icon_.image_digest},
                    {"stubs", std::move(stubs)},
                    {"tunnel", tunnel_to_json(local)}};
  const auto process = host_.containers->running(icon_id());
  const bool is_fresh = kind() == migration::SourceKind::kFresh;
  body["source"] = co_await traits_for_reserve(host_, is_fresh || !process ? 0 : process->pid);
  auto standby = host_.continuity->held().ready(icon_id(), order_.to);
  if (standby && !is_replica()) body["standby"] = standby->standby_id;
  if (is_replica()) {
    if (!child_key_) co_return fail(Code::kInternal, "the replica's key is gone");
    body["birth"] = record_.data().details["birth"];
    body["key"] = hex_encode(child_key_->seed());
    child_key_.reset();
  }
  ICON_CO_TRY(const auto answer,
              co_await call_peer("POST", "/v1/migrations", std::move(body), kReserveLimit));
  ICON_CO_TRY(peer_has_image_, json::get_bool(answer, "has_image"));
  // Taken or not, there is none any more.
  if (!is_replica()) host_.continuity->held().forget(icon_id(), order_.to);
  const auto* taken = answer.if_contains("standby");
  if (standby && taken != nullptr && taken->is_bool() && taken->get_bool()) {
    standby_layer_ = std::move(standby->layer);
    record_.data().details["standby"] = standby->standby_id;
  }
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
  if (kind() == migration::SourceKind::kFresh) co_return Status{};
  ICON_CO_CHECK(co_await send_layer());
  if (!is_replica()) ICON_CO_CHECK(co_await stubs_.prepare(order_.redirect));
  ICON_CO_CHECK(host_.network->prepare_hold(icon_id()));
  co_return co_await send_memory();
}

// While the service runs: what rarely changes, so that little is left for the gap.
Task<Status> SourceMove::send_memory() {
  ICON_CO_TRY(memory_, MemoryDirectory::create(checkpoint_path(host_, id()), kCheckpointBytesMax));
  ICON_CO_CHECK(make_directories(memory_.path() + "/images", 0700));
  ICON_CO_CHECK(co_await checkpointer_.prepare(memory_.path()));
  const auto possible = co_await checkpointer_.memory_can_travel_apart();
  if (!possible || !peer_takes_memory_) {
    const std::string why =
        possible ? "the destination takes whole checkpoints only" : possible.error().message;
    log::info("migration.memory_in_the_gap", {{"migration", id()}, {"why", why}});
    record_.data().details["memory"] = json::Object{{"mode", "stop-copy"}, {"why", why}};
    co_return Status{};
  }
  record_.begin("memory");
  ICON_CO_TRY(const auto cgroup, host_.containers->cgroup(icon_id()));
  const auto process = host_.containers->running(icon_id());
  if (!process) co_return fail(Code::kNotFound, "the ICON's process has ended");
  // The agent of a parent holds the parent's key until it is quiet: until then its memory, like
  // that key, is for nobody else.
  auto processes = [cgroup, agent = is_replica() ? process->pid : 0,
                    quiet = is_quiet_]() -> Result<std::vector<int>> {
    auto pids = cgroup.processes();
    if (agent != 0 && !*quiet) std::erase(pids, agent);
    return pids;
  };
  ICON_CO_CHECK(start_stream(std::move(processes)));
  ICON_CO_CHECK(co_await stream_->until_converged());
  end_stream_phase();
  auto look = [pids = cgroup.processes()] { return migration::image_memory(pids); };
  const auto in_images = co_await migration::run_on(memory_pool(), std::move(look));
  if (!in_images)
    log::warn("migration.image_memory",
              {{"migration", id()}, {"error", in_images.error().message}});
  const auto expected =
      migration::forecast(stream_->memory_report()->rounds, in_images.value_or(0));
  if (!expected) co_return Status{};
  json::Object memory = expected->to_json();
  memory["mode"] = "hybrid";  // ahead of the freeze, and lazily from icon-pages after it
  record_.data().details["memory"] = std::move(memory);
  co_return migration::check_forecast(*expected, Millis(host_.config.gap_max_ms));
}

Status SourceMove::start_stream(std::optional<migration::PageSource::Processes> processes) {
  PeerRequest request;
  request.api = api_;
  request.peer = order_.to;
  request.method = "PUT";
  request.target = "/v1/migrations/" + id() + "/stream";
  request.answer_timeout = kRestoreLimit;
  // The request may outlast this move by a turn of the loop.
  request.on_progress = [this, alive = std::weak_ptr<const bool>(alive_)](std::uint64_t bytes) {
    if (alive.expired()) return;
    stream_sent_ = bytes;
    record_.progress(bytes - stream_counted_);
  };
  ICON_TRY(stream_, MoveStream::start(host_, std::move(request), std::move(processes)));
  return {};
}

void SourceMove::end_stream_phase() {
  record_.end(stream_sent_ - stream_counted_);
  stream_counted_ = stream_sent_;
}

Task<Status> SourceMove::quiesce() {
  record_.begin("quiesce");
  const auto topic = EventHub::icon_topic(icon_id());
  host_.events.publish(topic,
                       {{"event", "quiesce"}, {"migration", id()}, {"replica", is_replica()}});
  const auto quiet = co_await host_.events.until_nobody_listens(topic, kQuiesceLimit);
  record_.end(0);
  if (!quiet)
    co_return fail(Code::kTimeout, "the agent did not let go of its descriptors within " +
                                       std::to_string(kQuiesceLimit.count()) + " ms");
  is_quiet_->store(true);
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

// What came before the hold; nothing follows it. There is no event for "has been read".
Task<void> SourceMove::let_datagrams_be_read() {
  const auto process = host_.containers->running(icon_id());
  if (!process) co_return;
  const auto deadline = std::chrono::steady_clock::now() + kDatagramsLimit;
  for (;;) {
    const auto unread = migration::unread_datagram_bytes(process->pid);
    const bool late = std::chrono::steady_clock::now() >= deadline;
    if (!unread || (*unread > 0 && late))
      log::warn("migration.datagrams",
                {{"migration", id()},
                 {"unread_bytes", unread.value_or(0)},
                 {"error", unread ? "the service does not read them" : unread.error().message}});
    if (!unread || *unread == 0 || late) co_return;
    asio::steady_timer pause(co_await asio::this_coro::executor, kDatagramsPause);
    co_await pause.async_wait(asio::use_awaitable);
  }
}

Task<Status> SourceMove::freeze() {
  record_.begin("freeze");
  co_await let_datagrams_be_read();
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
  ICON_CO_TRY(const auto cgroup, host_.containers->cgroup(icon_id()));
  if (stream_) ICON_CO_CHECK(co_await stream_->finish_memory());
  migration::DumpRequest request;
  request.init_pid = process->pid;
  request.image_dir = memory_.path() + "/images";
  request.work_dir = memory_.path();
  request.freezer_cgroup = cgroup.freezer_directory();
  request.external_mounts = host_.containers->external_mounts(icon_id());
  request.memory_apart = stream_ != nullptr;
  ICON_CO_TRY(const auto dumped, co_await checkpointer_.dump(std::move(request)));
  dumped_bytes_ = dumped.bytes;
  if (is_replica()) ICON_CO_CHECK(co_await keep_files());
  record_.end(dumped.bytes);
  co_return Status{};
}

Task<Status> SourceMove::transfer() {
  record_.begin("transfer");
  const Millis limit =
      kTransferLimit +
      Millis(static_cast<std::int64_t>(dumped_bytes_ / kTransferBytesPerMillisecond));
  asio::steady_timer timer(co_await asio::this_coro::executor, limit);  // of all that follows
  if (!kept_files_) {
    ICON_CO_TRY(kept_files_, co_await collect_files(limit));
  }
  if (!stream_) ICON_CO_CHECK(start_stream(std::nullopt));
  ICON_CO_CHECK(stream_->give(std::move(*kept_files_)));
  auto sent = co_await (stream_->until_sent() || timer.async_wait(asio::use_awaitable));
  if (sent.index() == 1)
    co_return fail(Code::kTimeout, "the checkpoint did not arrive within " +
                                       std::to_string(limit.count() / 1000) +
                                       " s: the link cannot keep up");
  ICON_CO_CHECK(std::get<0>(sent));
  if (const auto* report = stream_->memory_report()) note_memory(*report);
  end_stream_phase();
  co_return Status{};
}

// For who asks later why the gap was long.
void SourceMove::note_memory(const migration::PageSource::Report& report) {
  json::Array rounds;
  for (const auto& round : report.rounds)
    rounds.push_back(json::Object{{"bytes", round.bytes}, {"took_us", round.took.count()}});
  record_.data().details["memory_rounds"] = std::move(rounds);
  if (auto* memory = record_.data().details["memory"].if_object()) {
    (*memory)["rounds"] = report.rounds.size();
    (*memory)["rest_bytes"] = report.rounds.back().bytes;
  }
  log::info("migration.memory", {{"migration", id()},
                                 {"bytes", report.bytes},
                                 {"rounds", report.rounds.size()},
                                 {"last_bytes", report.rounds.back().bytes},
                                 {"last_us", report.rounds.back().took.count()},
                                 {"scan_us", report.last_scan.count()}});
}

// The processes have ended, or are as free as they were.
Task<void> SourceMove::drop_stream() {
  auto tracking = stream_ ? stream_->take_tracking() : std::vector<migration::MemoryTracker>();
  stream_.reset();
  memory_.reset();
  auto let_go = [tracking = std::move(tracking)]() mutable { tracking.clear(); };
  co_await migration::run_on(memory_pool(), std::move(let_go));
}

wire::Manifest SourceMove::manifest() const {
  wire::Manifest manifest;
  manifest.icon = order_.icon;
  manifest.migration_id = id();
  manifest.epoch = order_.epoch;
  manifest.from = order_.from;
  manifest.to = order_.to;
  manifest.issued_ms = host_.clock.utc_ms();
  manifest.expires_ms = manifest.issued_ms + kDocumentLifetime.count();
  return manifest;
}

Task<Status> SourceMove::restore_at_peer() {
  record_.begin("restore");
  ICON_CO_CHECK(co_await stream_->until_restored());
  record_.end(0);
  co_return Status{};
}

}  // namespace icon::supervisor
