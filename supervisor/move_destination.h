// The destination's side of migrations: the routes a source calls, and what each of them does to
// this host. Nothing a source sends is believed before the ICON's signature (order), our own
// (lease) and the source's (manifest, commit) have been checked; CRIU sees no byte before that
// (I5). Owned by the Mover. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/http_server.h"
#include "base/task.h"
#include "migration/archive.h"
#include "migration/checkpointer.h"
#include "migration/memory/page_daemon.h"
#include "migration/transaction.h"
#include "supervisor/memory_directory.h"
#include "supervisor/move_record.h"
#include "supervisor/stubs.h"
#include "wire/documents.h"

namespace icon::supervisor {

struct Host;

class DestinationMoves {
 public:
  DestinationMoves(Host& host, Stubs& stubs, migration::Checkpointer& checkpointer)
      : host_(host), stubs_(stubs), checkpointer_(checkpointer) {}

  void add_routes(http::Router& router);
  // After a restart: what was not committed is discarded; what was committed but did not come to
  // life is too, and the source hears of it when it asks.
  Task<void> recover();
  // Reservations and held copies whose source has been silent for too long: each is given up in the
  // background.
  void expire();

 private:
  struct Move;
  using MovePtr = std::shared_ptr<Move>;

  Task<Result<json::Object>> reserve(const http::Request& request);
  Result<MovePtr> check_reservation(const http::Request& request, const json::Object& body);
  Task<Status> set_up(Move& move, const json::Object& body);
  Task<Status> open_shell(Move& move);
  // How much more may be staged in all.
  static std::uint64_t staging_left(const Move& move);
  static Status still_staging(const Move& move);
  Task<Status> receive_image(Move& move, std::string digest, http::BodyReader& body);
  Task<Status> receive_layer(Move& move, http::BodyReader& body);
  class Stream;
  Task<http::Response> answer_stream(MovePtr move, http::BodyReader& body);
  Task<Status> receive_stream(Move& move, http::BodyReader& body);
  Task<http::Response> answer_mark(MovePtr move, std::uint32_t mark);
  void watch_pages(const Move& move, std::shared_ptr<migration::PageDaemon> pages);
  static std::uint64_t images_bytes_max(const Move& move);
  Task<Status> remove_from_layer(Move& move, std::vector<std::string> paths);
  // The paths that have been removed from the layer since it was sent.
  Result<std::vector<std::string>> verify_checkpoint(Move& move, std::string_view manifest);
  Task<Status> prepare_restore(Move& move);
  Task<Status> restore(Move& move);
  Task<Status> commit(Move& move, const json::Object& body);
  Task<Status> release(Move& move);

  // --- Replicas (move_destination_replica.cc).
  static Status read_birth(Move& move, const json::Object& body);
  Status give_identity(Move& move);
  Task<Result<int>> start_fresh(Move& move);
  Task<Status> until_reseeded(Move& move);
  void forget_tunnel(const Move& move);

  bool is_silent(const Move& move) const;
  Task<void> give_up_silent(MovePtr move);
  Task<Status> abort(Move& move, std::string reason);
  Task<Status> abort_on_request(Move& move, std::string reason);
  Task<Status> while_busy(MovePtr move, Task<Status> work);
  Task<void> discard(Move& move);

  Task<Result<json::Object>> admit_stub_host(const http::Request& request);

  // The move named by the route, if the caller is its source. Errors: kNotFound, kUnauthenticated.
  Result<MovePtr> find(const http::Request& request) const;
  http::Response answer_from_journal(const http::Request& request, const Error& error) const;
  // Performs what the transaction says to `event`.
  Task<Status> step(Move& move, migration::DestinationEvent event);
  // A step that fails takes the whole migration down.
  Task<http::Response> answer(MovePtr move, Task<Status> work);

  Host& host_;
  Stubs& stubs_;
  migration::Checkpointer& checkpointer_;
  std::map<std::string, MovePtr> moves_;
};

}  // namespace icon::supervisor
