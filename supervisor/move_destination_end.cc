// What becomes of a move at the destination that goes no further: given up, silent for too long, or
// found after a restart.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "supervisor/move_destination_move.h"
#include "supervisor/move_parts.h"
#include "supervisor/tunnel_uses.h"

namespace icon::supervisor {
namespace {

using migration::DestinationEvent;
using migration::DestinationState;

constexpr Millis kFinishedKept{600'000};  // an ended move answers questions for so long

}  // namespace

Task<Status> DestinationMoves::abort(Move& move, std::string reason) {
  if (move.transaction.state() == DestinationState::kAborted) co_return Status{};
  move.record.data().error = reason;
  move.progress.cancel();
  const auto event = move.transaction.state() == DestinationState::kCommitted
                         ? DestinationEvent::kFailed
                         : DestinationEvent::kAbortRequested;
  ICON_CO_CHECK(co_await step(move, event));
  move.record.finish(to_string(DestinationState::kAborted), reason);
  co_return Status{};
}

Task<void> DestinationMoves::discard(Move& move) {
  const std::string& id = move.icon.id;
  move.prepared.reset();
  if (move.held) co_await move.held->abort();
  move.held.reset();
  move.shell.reset();
  if (move.pages) move.pages->stop();
  move.pages.reset();
  const auto note = [&](const char* what, const Status& status) {
    if (!status && status.error().code != Code::kNotFound)
      log::warn(
          "migration.discard",
          {{"migration", move.record.id()}, {"what", what}, {"error", status.error().message}});
  };
  if (move.birth) host_.icons->left(id);
  note("container", co_await host_.containers->destroy(id));
  note("network", host_.network->detach(id));
  move.memory.reset();
  MemoryDirectory::remove_left_over(checkpoint_path(host_, move.record.id()));
  // What the ICON left here earlier (a stub) stays; a reservation does not.
  const auto stub = host_.journal->find_stub(id);
  note("journal", forget_earlier_stubs(host_, id));
  if (stub && *stub)
    note("journal", host_.journal->set_icon_state(id, icon_state::kMoved));
  else
    note("journal", host_.journal->remove_icon(id));
  close_unused_tunnel(host_, move.record.data().peer);
  const auto receipt = host_.market->release(move.lease.lease_id);
  if (!receipt) note("lease", Status(fail(receipt.error())));
}

Task<void> DestinationMoves::recover() {
  const auto rows = host_.journal->unfinished_migrations();
  if (!rows) co_return;
  for (const auto& row : *rows) {
    if (row.role != "destination") continue;
    const auto state = migration::destination_state_from(row.state);
    if (!state) continue;
    auto move = std::make_shared<Move>(host_, row);
    move->transaction = migration::DestinationTransaction::recovered(*state);
    const auto read = [&]() -> Status {
      ICON_TRY(const auto* order, json::get_object(row.details, "order"));
      ICON_TRY(const auto order_envelope, wire::parse_envelope(json::Value(*order)));
      ICON_TRY(move->order, wire::open<wire::MoveOrder>(order_envelope));
      ICON_TRY(const auto* lease, json::get_object(row.details, "lease"));
      ICON_TRY(const auto lease_envelope, wire::parse_envelope(json::Value(*lease)));
      ICON_TRY(move->lease, wire::open<wire::Lease>(lease_envelope));
      move->icon.id = row.icon;
      return {};
    };
    if (const auto known = read(); !known) {
      log::error("migration.recover", {{"migration", row.id}, {"error", known.error().message}});
      continue;
    }
    moves_[row.id] = move;
    move->last_heard = host_.clock.steady();
    // It ran before we died: Icons has adopted it, or found that it ended.
    if (*state == DestinationState::kRunning) {
      move->record.finish(to_string(DestinationState::kRunning), "");
      continue;
    }
    (void)co_await abort(*move, "the destination's supervisor was restarted");
  }
}

bool DestinationMoves::is_silent(const Move& move) const {
  return !move.busy && !move.is_streaming && !move.transaction.finished() &&
         host_.clock.steady() - move.last_heard > Millis(host_.config.silence_max_ms);
}

Task<void> DestinationMoves::give_up_silent(MovePtr move) {
  if (!is_silent(*move)) co_return;  // a request was quicker
  (void)co_await abort(
      *move, "the source was silent for " + std::to_string(host_.config.silence_max_ms) + " ms");
}

void DestinationMoves::expire() {
  const auto now = host_.clock.steady();
  std::erase_if(moves_, [&](const auto& entry) {
    const Move& move = *entry.second;
    return !move.busy && !move.is_streaming && move.transaction.finished() &&
           now - move.last_heard > kFinishedKept;
  });
  std::vector<MovePtr> silent;
  for (const auto& [id, move] : moves_)
    if (is_silent(*move)) silent.push_back(move);
  for (const auto& move : silent)
    boost::asio::co_spawn(host_.loop, give_up_silent(move), boost::asio::detached);
}

}  // namespace icon::supervisor
