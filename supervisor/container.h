// The ICONs' containers on this host: directories, overlay mount, OCI bundle, processes. Mechanism
// only, split into steps so that a migration can put a container together from parts that arrive
// over time: make_directories, (fill upper/ and run/), mount_root, write_files, write_bundle, then
// start() by runc or a restore by CRIU and note_restored().
//
//   <state_dir>/icons/<icon id>/spec.json
//                              /bundle/config.json   OCI
//                              /bundle/rootfs        overlay mount (lower = image, used in place)
//                              /upper /work          the writable layer
//                              /run                  bind-mounted to /run/icon in the container
//                              /docker.json, ..      where Docker owns it (docker/shell_order.h)
//   <state_dir>/images/<digest>/rootfs               images that came from other hosts
//
// Owned by Host. Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/task.h"
#include "migration/checkpointer.h"
#include "supervisor/cgroup.h"
#include "supervisor/config.h"
#include "supervisor/container_spec.h"

namespace icon::supervisor {

// Absolute paths, none of which need exist yet.
struct ContainerPaths {
  std::string directory;
  std::string spec_json;
  std::string bundle;
  std::string rootfs;
  std::string upper;
  std::string work;
  std::string run;
  std::string socket;        // run/supervisor.sock
  std::string key;           // run/icon.key
  std::string policy;        // run/policy.yaml
  std::string agent_binary;  // run/bin/icon-agent: travels with the ICON, CRIU maps it again
};

// --external mnt[<mountpoint>]:<name> on dump, mnt[<name>]:<host_path> on restore.
using ExternalMount = migration::ExternalMount;

// A process named so that a later process with the same number is not mistaken for it.
struct ProcessIdentity {
  int pid = 0;
  std::uint64_t start_ticks = 0;  // field 22 of /proc/PID/stat
  bool operator==(const ProcessIdentity&) const = default;
};
// Errors: kNotFound.
Result<ProcessIdentity> identify_process(int pid);

class DockerContainers;
struct DockerOrder;

class Containers {
 public:
  // `host_id` names this supervisor in cgroup paths. `config` outlives the object.
  Containers(IoContext& loop, const Config& config, std::string host_id);
  ~Containers();

  ContainerPaths paths(const std::string& icon_id) const;
  std::string image_rootfs(const std::string& digest) const;
  // Where an image of Docker's is mounted while an ICON runs on it.
  std::string image_mount(const std::string& icon_id) const;
  Result<Cgroup> cgroup(const std::string& icon_id) const;
  std::vector<ExternalMount> external_mounts(const std::string& icon_id) const;

  // --- Putting one together. destroy() undoes all steps, also half-done ones.
  // Directories and spec.json. Errors: kConflict when they exist or are still cleared away, kIo.
  Status make_directories(const std::string& icon_id, const ContainerSpec& spec);
  // Mounts bundle/rootfs on `layers`, the topmost first. They must be plain directories: CRIU
  // cannot name a file that is mapped through two overlays. upper/ must not be written from outside
  // afterwards. Errors: kNotFound (no such layer), kIo.
  Status mount_root(const std::string& icon_id, const std::vector<std::string>& layers);
  bool root_mounted(const std::string& icon_id) const;
  Status unmount_root(const std::string& icon_id);
  // Mountpoints, /etc/resolv.conf, hosts and hostname inside the mounted root (never following a
  // link out of it), policy.yaml, log/ and state/. Needs mount_root. Errors: kIo.
  Status write_files(const std::string& icon_id, const ContainerSpec& spec, const Address& overlay);
  // Copies the agent's binary into run/bin. A migration brings the source's copy instead.
  Status install_agent(const std::string& icon_id);
  // The key that makes it this ICON: run/icon.key, 0600. A migration brings the source's copy.
  Status write_key(const std::string& icon_id, const ContainerSpec& spec, const KeyPair& key);
  // The owner's key to its DNS: run/state/dns.key, 0600. It travels with a move, not to a replica.
  Status write_dns_key(const std::string& icon_id, const ContainerSpec& spec, std::string_view key);
  // At once, where the rest of its files goes later. What is not there is fine.
  void remove_keys(const std::string& icon_id);
  // What makes a replica itself: its key, its descent (a signed wire::Birth), its generation.
  Status write_identity(const std::string& icon_id, const ContainerSpec& spec, const KeyPair& key,
                        std::string_view birth);
  // run/generation: a random text of fixed length that no other copy has. It travels with a move.
  Status write_generation(const std::string& icon_id);
  // The OCI config.json. `netns_path` becomes the container's network namespace.
  Status write_bundle(const std::string& icon_id, const ContainerSpec& spec,
                      const std::string& netns_path);
  // All of the above for a new ICON; `upper`, when named, becomes its writable layer. What was made
  // before it fails goes with destroy(). Errors: as above, and kInvalid when the command is not in
  // the root.
  Status prepare(const std::string& icon_id, const ContainerSpec& spec, const KeyPair& key,
                 const std::vector<std::string>& layers, const std::string& netns_path,
                 const Address& overlay, const std::string& upper = "");

  // --- Docker as the owner of the processes: docker/docker_containers.h says how.
  DockerContainers& docker() { return *docker_; }
  // What it needs to know of an ICON, for after prepare() or, at a destination, make_directories().
  Result<DockerOrder> docker_order(const std::string& icon_id, const ContainerSpec& spec,
                                   const std::string& netns_path) const;

  // --- Running.
  // runc (or Docker, by icon-runc) create + start, with the standard streams on /dev/null. Returns
  // PID 1 as the host sees it.
  // Errors: kNotFound (no runc), kIo with runc's own words, kTimeout.
  Task<Result<ProcessIdentity>> start(const std::string& icon_id);
  // A container that CRIU restored (or that an earlier supervisor started): from now on `pid` is
  // its PID 1. Errors: kNotFound when there is no such process or it is not in the ICON's cgroup.
  Status note_running(const std::string& icon_id, int pid);
  // Whether this is a PID 1 whose end is still to be told.
  bool awaits(int pid) const;
  // As noted; nullopt when none runs.
  std::optional<ProcessIdentity> running(const std::string& icon_id) const;
  // Whether that very process is alive and in the ICON's cgroup.
  bool alive(const std::string& icon_id, const ProcessIdentity& process) const;

  // Calls `on_exit` once when PID 1 ends: with the exit status (128 + signal) when the kernel gave
  // it to us, nullopt when the process was never our child (an adopted one, Docker's). Replaces an
  // earlier watch. Errors: kNotFound.
  using OnExit = std::function<void(std::optional<int> exit_status)>;
  Status watch(const std::string& icon_id, OnExit on_exit);
  void unwatch(const std::string& icon_id);

  Task<Status> freeze(const std::string& icon_id, Millis limit = Millis(5'000));
  Status thaw(const std::string& icon_id);
  // SIGUSR1 to PID 1: "you may connect again". Errors: kNotFound.
  Status wake(const std::string& icon_id);
  // SIGTERM to PID 1, `grace`, then SIGKILL to the whole cgroup; thaws first. Returns when nobody
  // is left: the exit status as in OnExit. Ends the watch without calling it.
  Task<Result<std::optional<int>>> kill(const std::string& icon_id, Millis grace);
  // SIGKILL to whoever is left, unmounts, removes cgroups and runc's state; the directories, with
  // the logs, stay. What is already gone is fine.
  Task<Status> release_processes(const std::string& icon_id);
  // That, and the directories (removal.h: their contents go later). What is already gone is fine.
  // Errors: the first thing that could not be removed; the rest is tried, and all of it again by
  // clear_left_over().
  Task<Status> destroy(const std::string& icon_id);
  // About once a second: what could not be removed before. A task may hang in the kernel for longer
  // than anybody waits for it.
  Task<void> clear_left_over();

 private:
  struct Running;
  Status hand_over(const std::string& icon_id, const ContainerSpec& spec);
  Status check_command(const std::string& icon_id, const ContainerSpec& spec);
  Task<Status> runc(const std::string& icon_id, std::vector<std::string> arguments);
  Task<Status> try_to_destroy(const std::string& icon_id);
  void forget(const std::string& icon_id);

  IoContext& loop_;
  const Config& config_;
  std::string host_id_;
  std::unique_ptr<DockerContainers> docker_;
  std::map<std::string, std::shared_ptr<Running>> running_;
  std::set<std::string> left_over_;
  bool is_clearing_ = false;
};

}  // namespace icon::supervisor
