// RESTORE and COMMIT at the destination: from verified files to a running ICON.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "base/log.h"
#include "supervisor/move_destination_move.h"
#include "supervisor/move_parts.h"

namespace icon::supervisor {

using migration::DestinationEvent;
using migration::DestinationState;

// Docker owns the copy where this host has it and the ICON asks for it; else it is ours alone.
Task<Status> DestinationMoves::open_shell(Move& move) {
  move.icon.spec.image.clear();  // a name of another engine's
  if (!move.icon.spec.docker) co_return Status{};
  const std::string& id = move.icon.id;
  const std::string netns = host_.network->netns_path(id);
  ICON_CO_TRY(auto order, host_.containers->docker_order(id, move.icon.spec, netns));
  auto shell = co_await host_.containers->docker().open_shell(std::move(order));
  if (shell) {
    move.shell = std::move(*shell);
    co_return Status{};
  }
  if (shell.error().code != Code::kUnavailable) co_return fail(shell.error());
  log::warn("migration.without_docker",
            {{"migration", move.record.id()}, {"error", shell.error().message}});
  co_return Status{};
}

// What needs no image. With memory ahead it is done before the freeze.
Task<Status> DestinationMoves::prepare_restore(Move& move) {
  const std::string& id = move.icon.id;
  ICON_CO_TRY(const auto cgroup, host_.containers->cgroup(id));
  ICON_CO_CHECK(cgroup.create(move.allowed));
  migration::RestoreRequest request;
  request.image_dir = move.memory.path() + "/images";
  request.work_dir = move.memory.path();
  request.root = host_.containers->paths(id).rootfs;
  request.netns_path = host_.network->netns_path(id);
  for (const auto& directory : cgroup.directories())
    request.cgroup_procs_files.push_back(directory + "/cgroup.procs");
  request.external_mounts = host_.containers->external_mounts(id);
  request.memory_apart = move.pages != nullptr;
  request.close_connections = move.is_clone();
  auto& checkpointer = move.shell ? move.shell->checkpointer() : checkpointer_;
  ICON_CO_TRY(move.prepared, co_await checkpointer.prepare_restore(std::move(request)));
  co_return Status{};
}

Task<Status> DestinationMoves::restore(Move& move) {
  ICON_CO_CHECK(co_await step(move, DestinationEvent::kCheckpointVerified));
  move.record.begin("restore");
  ICON_CO_CHECK(host_.network->prepare_release(move.icon.id));
  if (!move.prepared) ICON_CO_CHECK(co_await prepare_restore(move));
  // Not before: what lies under a mounted overlay must not change.
  const std::vector<std::string> layers(1, move.icon.lower_dir);
  ICON_CO_CHECK(host_.containers->mount_root(move.icon.id, layers));
  if (move.is_clone()) ICON_CO_CHECK(give_identity(move));
  if (move.pages) ICON_CO_CHECK(co_await move.pages->check());
  ICON_CO_TRY(move.held, co_await move.prepared->restore());
  move.prepared.reset();
  move.record.end(0);
  co_return co_await step(move, DestinationEvent::kRestored);
}

Task<Status> DestinationMoves::commit(Move& move, const json::Object& body) {
  if (move.transaction.state() == DestinationState::kRunning) co_return Status{};  // said twice
  ICON_CO_TRY(const auto* envelope_json, json::get_object(body, "commit"));
  ICON_CO_TRY(const auto envelope, wire::parse_envelope(json::Value(*envelope_json)));
  ICON_CO_TRY(const auto commit, wire::open<wire::Commit>(envelope));
  if (commit.icon != move.order.icon || commit.migration_id != move.order.migration_id ||
      commit.epoch != move.order.epoch || commit.from != move.order.from ||
      commit.to != move.order.to)
    co_return fail(Code::kConflict, "the commit belongs to another migration");
  // After this the copy runs: a lease that has ended meanwhile entitles nobody.
  ICON_CO_CHECK(host_.market->usable_lease(move.lease.lease_id, move.icon.id));
  if (body.contains("hold")) {  // its owner's brake comes with it
    ICON_CO_TRY(move.icon.hold, json::get_bool(body, "hold"));
  }
  move.record.data().details["commit"] = *envelope_json;
  if (move.is_fresh() && move.transaction.state() == DestinationState::kReserved) {
    // There is no checkpoint: the image under its digest is all there is to it.
    ICON_CO_CHECK(co_await step(move, DestinationEvent::kCheckpointVerified));
    ICON_CO_CHECK(host_.network->prepare_release(move.icon.id));
    ICON_CO_CHECK(co_await step(move, DestinationEvent::kRestored));
  }
  move.record.begin("release");
  ICON_CO_CHECK(co_await step(move, DestinationEvent::kCommitVerified));
  ICON_CO_CHECK(co_await step(move, DestinationEvent::kReleased));
  move.record.end(0);
  move.record.finish(to_string(DestinationState::kRunning), "");
  co_return Status{};
}

// The rest of the memory comes while the ICON runs; how long that took is for who asks why the
// first moments were slow.
void DestinationMoves::watch_pages(const Move& move, std::shared_ptr<migration::PageDaemon> pages) {
  host_.icons->memory_arrives(move.icon.id);
  auto watch = [&icons = *host_.icons, icon = move.icon.id, migration = move.record.id(),
                pages = std::move(pages)]() mutable -> Task<void> {
    const auto resident = co_await migration::PageDaemon::let_live(std::move(pages));
    icons.memory_arrived(icon, resident ? Status() : Status(fail(resident.error())));
    if (!resident)
      log::error("migration.pages",
                 {{"migration", migration}, {"error", resident.error().message}});
    else
      log::info("migration.resident", {{"migration", migration},
                                       {"took_ms", resident->took_ms},
                                       {"pages", resident->pages},
                                       {"faults", resident->faults},
                                       {"zero_faults", resident->zero_faults}});
  };
  boost::asio::co_spawn(host_.loop, std::move(watch), boost::asio::detached);
}

// The process first, behind closed doors; then "it runs" on disk, in one piece; then the network.
// Killed before the row is there, the copy has spoken with nobody and is given up; killed after it,
// it is adopted like any other.
Task<Status> DestinationMoves::release(Move& move) {
  const std::string& id = move.icon.id;
  int pid = 0;
  if (move.is_fresh()) {
    ICON_CO_TRY(pid, co_await start_fresh(move));
  } else {
    if (!move.held) co_return fail(Code::kInternal, "nothing is held");
    // Without it what is missing would be empty pages.
    if (move.pages && !move.pages->is_alive())
      co_return fail(Code::kIo, "icon-pages ended: the memory is lost");
    pid = move.held->init_pid();
    ICON_CO_CHECK(co_await move.held->release());
    move.held.reset();
    move.shell.reset();
    ICON_CO_CHECK(host_.containers->note_running(id, pid));
    // Nobody has heard from it yet, and nobody will before its randomness is its own.
    if (move.is_clone()) ICON_CO_CHECK(co_await until_reseeded(move));
  }
  move.icon.state = icon_state::kRunning;
  move.icon.pid = pid;
  if (const auto process = host_.containers->running(id))
    move.icon.pid_start_ticks = process->start_ticks;
  ICON_CO_CHECK(host_.journal->transaction([&]() -> Status {
    ICON_CHECK(host_.journal->put_icon(move.icon));
    ICON_CHECK(host_.market->activate(move.lease.lease_id));
    ICON_TRY(const auto stub, host_.journal->find_stub(id));
    if (stub) ICON_CHECK(host_.journal->remove_stub(id));  // it came back
    return move.record.enter(to_string(DestinationState::kRunning));
  }));
  // It runs, and says so to whoever asks: what fails from here on is no reason to give it up.
  const auto note = [&](const char* what, const Status& status) {
    if (!status)
      log::error(
          "migration.after_release",
          {{"migration", move.record.id()}, {"what", what}, {"error", status.error().message}});
  };
  note("network", host_.network->release(id));
  if (move.pages) watch_pages(move, std::move(move.pages));
  note("socket", host_.icons->open_socket(id));
  note("watch", host_.icons->watch(id));
  move.memory.reset();
  if (move.birth) {
    forget_tunnel(move);
    co_return Status{};
  }
  // The name servers are this host's from now on.
  if (const auto written = host_.containers->write_files(id, move.icon.spec, move.icon.overlay);
      !written)
    log::warn("migration.files",
              {{"migration", move.record.id()}, {"error", written.error().message}});
  co_return Status{};
}

}  // namespace icon::supervisor
