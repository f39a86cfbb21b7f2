// The ICONs of this host from start to end: run, adopt after a restart, stop. Puts together what
// Containers, the network and the journal each do a part of. Owned by Host. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/http_server.h"
#include "base/json.h"
#include "base/result.h"
#include "base/task.h"
#include "supervisor/docker/engine_client.h"
#include "supervisor/journal.h"
#include "supervisor/market.h"

namespace icon::supervisor {

struct Host;
struct ProcessIdentity;

struct RunRequest {
  ContainerSpec spec;
  std::string rootfs;  // absolute path of a directory, used in place, never written to
  std::optional<DockerImage> image;  // instead of it
  std::string upper;    // a directory that becomes the writable layer; beside the state
  std::string dns_key;  // for the agent alone: in no record, no log, no replica
};

class Icons {
 public:
  static constexpr std::size_t kIdPrefixMin = 4;  // characters, where an id's beginning will do

  // `host` owns this object.
  explicit Icons(Host& host);
  ~Icons();

  // Starts a new ICON: key, network, container, socket. Nothing is left when it fails. Errors:
  // kConflict (name or public port taken), kNotFound, kInvalid, kLimit, kIo.
  Task<Result<IconRecord>> run(RunRequest request);
  // Whether run() would find room, name and root. Errors: as run().
  Status check_room(const RunRequest& request) const;
  // A new ICON for a container that Docker is making: all but its processes. Errors: as run().
  // Given up when Docker makes none.
  Task<Result<IconRecord>> prepare_for_docker(RunRequest request, std::string container);
  // Its PID 1 is there and has not run yet. Errors: kNotFound, kConflict.
  Status made_by_docker(const std::string& icon_id, int pid);
  // Stops an ICON and removes everything of it. The exit status when known. A stub's ICON ("moved")
  // loses its stub. Errors: kNotFound, kConflict while it migrates.
  Task<Result<std::optional<int>>> remove(const std::string& icon_id, Millis grace);
  // After a restart: takes up what still runs, cleans up what does not. Before Mover::recover().
  Task<void> adopt_all();
  // About once a second: notices a "running" ICON without a process (one that ended while it
  // migrated, say), and ends one whose lease is over ("failed"). One that is moving away is left
  // alone until it has moved or is back.
  void check_all();
  // Stops every running ICON ("stopped"), all at the same time.
  Task<void> stop_all(Millis grace);
  // Its processes are here; the moments of a freeze count as service.
  bool serves(const std::string& icon_id) const;
  // The same with what it has used up.
  Market::Sight look_at(const std::string& icon_id) const;
  // By id, name or a unique prefix of the id. Errors: kNotFound, kConflict (not unique).
  Result<IconRecord> find(const std::string& text) const;

  // --- For the flows that move ICONs. ------------------------------------------------------------
  // The ICON's own socket in its run directory. Idempotent. Errors: kIo.
  Status open_socket(const std::string& icon_id);
  void close_socket(const std::string& icon_id);
  // Its processes are not here any more: no socket, and nothing of what its agent told.
  void left(const std::string& icon_id);
  // From now on the end of PID 1 makes the ICON "stopped": network and mounts go, lease and journal
  // are settled, the logs stay until DELETE. Errors: kNotFound.
  Status watch(const std::string& icon_id);
  // It runs, but not all of its memory is in place. An end in between is a loss ("failed", with the
  // reason) if memory_arrived() says so, which it must in the end.
  void memory_arrives(const std::string& icon_id);
  void memory_arrived(const std::string& icon_id, const Status& outcome);
  // The row of an ICON that is not here goes, with what only served it. Errors: kIo.
  Status forget(const std::string& icon_id);
  // Frees container, network and socket of an ICON that has left or failed, not its journal row.
  // What is gone already is fine. Errors: the first thing that could not be removed.
  Task<Status> clear_away(const std::string& icon_id, Millis grace);

  // The agent's last PUT /v1/self/status; empty when none came since our start, or when the ICON is
  // no longer here.
  const json::Object& status(const std::string& icon_id) const;
  void set_status(const std::string& icon_id, json::Object status);
  // The agent's last PUT /v1/self/map as checked JSON; empty when none came since our start, or
  // when the ICON is no longer here.
  const std::string& map(const std::string& icon_id) const;
  void set_map(const std::string& icon_id, std::string text) { maps_[icon_id] = std::move(text); }
  // {"id","name","state",..} as GET /v1/icons shows it.
  json::Object describe(const IconRecord& icon) const;

  // Before the first socket opens.
  void set_icon_router(const http::Router& router) { icon_router_ = &router; }
  void close_all_sockets() { sockets_.clear(); }

 private:
  // The row of a new ICON, half-made.
  Result<IconRecord> begin(RunRequest& request, const KeyPair& key);
  Task<Status> start_parts(IconRecord& icon, const KeyPair& key, const RunRequest& request);
  // Network, container and socket, without a process.
  Status put_together(const IconRecord& icon, const KeyPair& key, const RunRequest& request);
  Status note_running(IconRecord& icon, const ProcessIdentity& process);
  Task<void> give_up_unless_made(std::string icon_id);
  Task<void> forget_half_made(std::string icon_id);
  Task<void> adopt(IconRecord icon);
  Status take_up(const IconRecord& icon);
  // A move away that only the destination can undo.
  Result<bool> has_committed_move(const std::string& icon_id) const;
  void ended(const std::string& icon_id, std::optional<int> exit_status);
  Task<void> stop_and_settle(std::string icon_id, Millis grace, std::string error);
  Task<std::optional<int>> dockers_exit_status(std::string icon_id);
  Task<void> settle(std::string icon_id, std::optional<int> exit_status, std::string error);

  Host& host_;
  const http::Router* icon_router_ = nullptr;
  std::map<std::string, std::unique_ptr<http::Server>> sockets_;
  std::map<std::string, json::Object> statuses_;
  std::map<std::string, std::string> maps_;
  std::set<std::string> settling_;
  struct End {
    std::optional<int> exit_status;
  };
  std::map<std::string, std::optional<End>> arriving_;  // with the end that waits to be judged
};

}  // namespace icon::supervisor
