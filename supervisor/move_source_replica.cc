// What is different at the source when a replica is made: the original serves on. Its snapshot, the
// memory, the checkpoint and the changed files, is complete before the original runs again.
#include <boost/asio/this_coro.hpp>

#include "base/file.h"
#include "base/log.h"
#include "migration/worker.h"
#include "supervisor/host.h"
#include "supervisor/move_parts.h"
#include "supervisor/move_source.h"
#include "supervisor/tunnel_uses.h"

namespace icon::supervisor {
namespace {

constexpr Millis kCollectLimit{60'000};

// What makes the parent itself: never part of a copy.
bool is_own(const std::string& path) {
  return path == "icon.key" || path == "birth.json" || path == "generation" || path == "state" ||
         path.starts_with("state/");
}

}  // namespace

migration::SourceKind SourceMove::kind() const {
  if (!birth_) return migration::SourceKind::kMove;
  return birth_->mode == wire::Birth::Mode::kFresh ? migration::SourceKind::kFresh
                                                   : migration::SourceKind::kClone;
}

Status SourceMove::check_replica(const MoveRequest& request, const wire::MoveOrder& order,
                                 const IconRecord& parent, UtcMillis now_ms) {
  ICON_TRY(const auto birth, wire::open<wire::Birth>(*request.birth));
  ICON_CHECK(wire::check_times(birth.issued_ms, birth.expires_ms, now_ms));
  if (birth.parent.id() != request.icon_id)
    return fail(Code::kUnauthenticated, "the birth was signed by another ICON");
  if (birth.child != order.icon || birth.migration_id != order.migration_id)
    return fail(Code::kInvalid, "the order does not belong to the birth");
  if (birth.parent_epoch != parent.epoch)
    return fail(Code::kConflict, "the birth is from epoch " + std::to_string(birth.parent_epoch) +
                                     ", the ICON is at " + std::to_string(parent.epoch));
  if (order.epoch != 1) return fail(Code::kInvalid, "a replica begins at epoch 1");
  if (!request.child_key || request.child_key->public_key() != birth.child)
    return fail(Code::kInvalid, "the key is not the replica's");
  return {};
}

// The tree is frozen. Copies on the checkpoint's tmpfs of what would change under the transfer.
Task<Status> SourceMove::keep_files() {
  if (stream_) ICON_CO_CHECK(co_await stream_->until_memory_read());
  ICON_CO_TRY(auto rest, co_await collect_files(kCollectLimit));
  std::erase_if(rest.run_files, is_own);
  const std::map<std::string, std::string> kept{{"upper", memory_.path() + "/upper"},
                                                {"run", memory_.path() + "/run"}};
  for (const auto& [prefix, directory] : kept) ICON_CO_CHECK(make_directories(directory, 0700));
  std::vector<migration::TreePart> parts{{"upper", rest.upper, &rest.upper_changed},
                                         {"run", rest.run, &rest.run_files}};
  const auto executor = co_await boost::asio::this_coro::executor;
  ICON_CO_TRY(auto source, migration::TarSource::start(executor, std::move(parts)));
  migration::ExtractLimits limits;
  limits.bytes_max = kCheckpointBytesMax;
  ICON_CO_TRY(auto sink, migration::TarSink::start(executor, kept, limits));
  for (;;) {
    ICON_CO_TRY(const auto bytes, co_await source->next());
    if (bytes.empty()) break;
    if (!co_await sink->write(bytes)) break;  // finish() says why
  }
  ICON_CO_TRY(const auto written, co_await sink->finish());
  log::info("replica.snapshot", {{"migration", id()}, {"file_bytes", written.bytes}});
  rest.upper = kept.at("upper");
  rest.run = kept.at("run");
  kept_files_ = std::move(rest);
  co_return Status{};
}

// The gap of a parent ends here.
Status SourceMove::serve_on() {
  const auto released = host_.network->unhold(icon_id());
  if (gap_start_ != SteadyTime{} && record_.data().gap_us == 0)
    record_.data().gap_us =
        std::chrono::duration_cast<Micros>(host_.clock.steady() - gap_start_).count();
  return released;
}

void SourceMove::report_replica(bool started) {
  tunnel_use_.reset();
  close_unused_tunnel(host_, peer_id_);
  icon_.state = icon_state::kRunning;
  if (const auto saved = host_.journal->set_icon_state(icon_id(), icon_.state); !saved)
    log::error("replica.journal", {{"migration", id()}, {"error", saved.error().message}});
  json::Object event{{"migration", id()}, {"icon", order_.icon.id()}, {"epoch", icon_.epoch}};
  event["event"] = started ? "replica_started" : "rolled_back";
  if (!started) event["reason"] = error_;
  host_.events.publish(EventHub::icon_topic(icon_id()), event);
  if (!started) record_.finish(to_string(migration::SourceState::kRolledBack), error_);
}

}  // namespace icon::supervisor
