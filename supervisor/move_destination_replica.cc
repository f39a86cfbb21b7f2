// What is different at the destination when a replica arrives: it has a key of its own, its
// connections are its parent's, and it serves nobody before its randomness is its own.
#include <boost/json/serialize.hpp>

#include "base/log.h"
#include "supervisor/host.h"
#include "supervisor/move_destination_move.h"
#include "supervisor/move_parts.h"
#include "supervisor/tunnel_uses.h"

namespace icon::supervisor {
namespace {

constexpr Millis kReseedMax{15'000};  // the policy's own limit is shorter

}  // namespace

Status DestinationMoves::read_birth(Move& move, const json::Object& body) {
  ICON_TRY(const auto* object, json::get_object(body, "birth"));
  ICON_TRY(move.birth_envelope, wire::parse_envelope(json::Value(*object)));
  ICON_TRY(move.birth, wire::open<wire::Birth>(move.birth_envelope));
  if (move.birth->child != move.order.icon || move.birth->migration_id != move.order.migration_id)
    return fail(Code::kUnauthenticated, "the birth does not belong to the order");
  if (move.order.epoch != 1) return fail(Code::kInvalid, "a replica begins at epoch 1");
  ICON_TRY(move.child_key, get_key_pair(body, "key"));
  if (move.child_key->public_key() != move.order.icon)
    return fail(Code::kUnauthenticated, "the key is not the replica's");
  return {};
}

// After everything that came from the parent's host, so that none of it stands in its place.
Status DestinationMoves::give_identity(Move& move) {
  if (!move.child_key) return fail(Code::kInternal, "the replica's key is gone");
  const std::string& id = move.icon.id;
  ICON_CHECK(host_.containers->write_files(id, move.icon.spec, move.icon.overlay));
  const std::string birth = boost::json::serialize(move.birth_envelope.to_json()) + "\n";
  ICON_CHECK(host_.containers->write_identity(id, move.icon.spec, *move.child_key, birth));
  move.child_key.reset();
  return {};
}

Task<Result<int>> DestinationMoves::start_fresh(Move& move) {
  const std::string& id = move.icon.id;
  const std::vector<std::string> layers(1, move.icon.lower_dir);
  ICON_CO_CHECK(host_.containers->mount_root(id, layers));
  ICON_CO_CHECK(give_identity(move));
  ICON_CO_CHECK(host_.containers->install_agent(id));
  ICON_CO_CHECK(host_.containers->write_bundle(id, move.icon.spec, host_.network->netns_path(id)));
  ICON_CO_CHECK(host_.icons->open_socket(id));
  ICON_CO_TRY(const auto process, co_await host_.containers->start(id));
  co_return process.pid;
}

// The agent in the copy finds out that it is the child, runs the policy's hook, and says so. One
// that cannot is given up: two services with one memory make the same secrets.
Task<Status> DestinationMoves::until_reseeded(Move& move) {
  const std::string& id = move.icon.id;
  ICON_CO_TRY(auto listener, host_.events.listen(EventHub::reseed_topic(id)));
  ICON_CO_CHECK(host_.icons->open_socket(id));
  ICON_CO_CHECK(host_.containers->wake(id));
  const auto line = co_await listener->next(kReseedMax);
  if (!line)
    co_return fail(line.error().code,
                   "the agent of the replica did not say that its randomness is "
                   "its own: " +
                       line.error().message);
  ICON_CO_TRY(const auto said, json::parse_object(*line, kPeerAnswerBytesMax));
  ICON_CO_TRY(const auto error, json::get_string_or(said, "error", "", 4096));
  if (!error.empty()) co_return fail(Code::kRefused, "the replica is not reseeded: " + error);
  ICON_CO_TRY(const auto processes, json::get_int_or(said, "processes", 0, 0, 1 << 20));
  log::info("replica.reseeded", {{"migration", move.record.id()}, {"processes", processes}});
  co_return Status{};
}

// No connection of a replica comes from its parent's host.
void DestinationMoves::forget_tunnel(const Move& move) {
  close_unused_tunnel(host_, move.record.data().peer);
}

}  // namespace icon::supervisor
