// Docker as the owner of an ICON's processes. The ICON itself is put together by Containers as
// always (root, run directory, bundle, namespaces); Docker's container stands for it: its shim is
// the parent of PID 1, so `docker ps`, `logs`, `exec`, `stop` and exit codes work, and icon-runc
// makes the one from the other. Owned by Containers. Loop thread only.
#pragma once

#include <boost/asio/local/stream_protocol.hpp>
#include <memory>
#include <optional>
#include <string>

#include "base/task.h"
#include "migration/criu_checkpointer.h"
#include "supervisor/container.h"
#include "supervisor/docker/engine_client.h"

namespace icon::supervisor {

// A container of Docker's that waits for its restore. Destroying it before the restore has been
// released makes Docker give the container up.
class DockerShell {
 public:
  DockerShell(boost::asio::local::stream_protocol::socket icon_runc, migration::CriuOptions criu)
      : icon_runc_(std::move(icon_runc)), checkpointer_(std::move(criu)) {}
  // Whose restored trees are Docker's.
  migration::Checkpointer& checkpointer() { return checkpointer_; }

 private:
  boost::asio::local::stream_protocol::socket icon_runc_;
  migration::CriuCheckpointer checkpointer_;
};

// What a container of Docker's is made for.
struct DockerOrder {
  std::string icon_id;
  ContainerSpec spec;
  std::string netns_path;
  ContainerPaths place;
  Cgroup cgroup;
};

class DockerContainers {
 public:
  DockerContainers(IoContext& loop, const Config& config);

  EngineClient& engine() { return engine_; }
  // Whether Docker owns the container whose files lie there.
  static bool owns(const ContainerPaths& place);

  // Docker's container for a new ICON, not started. Errors: the engine's.
  Task<Status> make(DockerOrder order);
  // The same for a container that Docker is making already. Errors: kIo.
  Status leave_order(const DockerOrder& order, std::string container) const;
  // Starts it. PID 1. Errors: the engine's and runc's.
  Task<Result<int>> start(const ContainerPaths& place);
  // Of one whose PID 1 has ended. nullopt: it is not Docker's, or Docker does not say.
  Task<std::optional<int>> exit_status(ContainerPaths place);
  // Docker's container for an ICON that arrives: everything but CRIU is done when this returns.
  // Errors: as make(); kTimeout.
  Task<Result<std::unique_ptr<DockerShell>>> open_shell(DockerOrder order);
  // Ends and removes it. Not owned by Docker: fine. What could not be removed is noted below
  // state_dir, for remove_left_over(): the ICON's own files may go.
  Task<Status> remove(std::string icon_id, const ContainerPaths& place);
  // At a start and now and then: tries again.
  Task<void> remove_left_over();

 private:
  std::string left_over_directory() const;
  Task<Status> create(const DockerOrder& order, bool restore);
  Status write_shell_bundle(const DockerOrder& order) const;
  Status write_order(const DockerOrder& order, std::string container, bool restore) const;

  IoContext& loop_;
  const Config& config_;
  EngineClient engine_;
};

}  // namespace icon::supervisor
