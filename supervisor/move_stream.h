// The one long request of a move, as its source sends it (migration/move_stream.h): memory ahead of
// the freeze, then the rest of it, the checkpoint, and the manifest. Loop thread only.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/result.h"
#include "base/task.h"
#include "migration/archive.h"
#include "migration/memory/page_source.h"
#include "supervisor/peer_client.h"
#include "wire/documents.h"

namespace icon::supervisor {

struct Host;

class MoveStream {
 public:
  // Begins `request` (its upload is set here). Without `processes` no memory goes ahead.
  static Result<std::unique_ptr<MoveStream>> start(
      Host& host, PeerRequest request, std::optional<migration::PageSource::Processes> processes);
  // Drops the request when it is still under way.
  ~MoveStream();

  // Sends rounds of memory until another would not help. Errors: what ended the request.
  Task<Status> until_converged();
  // The tree is frozen; returns when a checkpointer may look at it.
  Task<Status> finish_memory();

  // All of it has been read: the tree may run on.
  Task<Status> until_memory_read();

  // What follows when the tree has been dumped.
  struct Rest {
    std::string checkpoint;  // directories
    std::string upper;
    std::string run;
    std::set<std::string> upper_changed;  // what of them
    std::set<std::string> run_files;
    wire::Manifest manifest;  // but for the files
  };
  Status give(Rest rest);
  // Its last byte has left. Errors: what ended the request.
  Task<Status> until_sent();
  // The destination holds a whole copy.
  Task<Status> until_restored();

  // After until_restored(), or when the tree is thawed: migration/memory/page_source.h.
  std::vector<migration::MemoryTracker> take_tracking();
  // After until_converged() its rounds, after until_sent() all of it; null: no memory went ahead.
  const migration::PageSource::Report* memory_report() const;

 private:
  class Body;
  struct State;
  explicit MoveStream(std::shared_ptr<State> state) : state_(std::move(state)) {}
  Task<Status> until_mark_arrived(std::uint32_t mark);
  // The request's own error, which says more than that its stream broke off.
  Task<Status> explained(Status status);
  bool carries_memory() const;
  std::shared_ptr<State> state_;
};

}  // namespace icon::supervisor
