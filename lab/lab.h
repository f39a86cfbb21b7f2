// An internet on one machine: brings a topology up in network namespaces, runs programs in its
// nodes, changes its links, and takes all of it away again.
//
//   ICON_TRY(Lab lab, Lab::up({.name = "demo", .topology_text = text, .bound_to_caller = true}));
//   ICON_TRY(ChildProcess user, lab.spawn("users-a", {.argv = {"redis-cli", ...}}));
//   ICON_CHECK(lab.set_link("t1-t2", {.delay_ms = 40}));
//
// Needs root. State is in /run/icon-lab/<name>/; each node is the namespace icon-<name>-<node>.
// Blocking calls; any one thread at a time. A Lab is movable; a moved-from Lab may only be
// destroyed.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/subprocess.h"
#include "lab/plan.h"
#include "lab/remains.h"
#include "lab/topology.h"

namespace icon::lab {

struct UpOptions {
  std::string name{};  // see check_lab_name()
  std::string topology_text{};
  // The lab ends with this Lab object or with this process, whatever ends that (ctrl-C, SIGKILL): a
  // guard process outlives it for the teardown. False: stays until `down`.
  bool bound_to_caller = false;
  // Where icon-lab-relay and icon-lab-guard are; empty: beside this executable, then PATH.
  std::string helper_directory{};
};

struct RunOptions {
  std::vector<std::string> argv{};
  // -1: /dev/null for spawn(), the caller's own for exec().
  int input_fd = -1;
  int output_fd = -1;
  int error_fd = -1;
  std::vector<std::pair<int, int>> inherit{};  // {ours, child's}
  std::vector<std::string> extra_environment{};
  // A private mount namespace in which /etc/resolv.conf names the lab's resolver. Off for
  // supervisors: the mounts of their containers must be visible to the machine.
  bool own_resolv_conf = true;
  bool die_with_parent = true;
  bool new_session = false;
  Millis grace{2'000};
};

// Only what is set changes.
struct LinkChange {
  std::optional<double> delay_ms{};
  std::optional<double> jitter_ms{};
  std::optional<double> rate_mbit{};
  std::optional<double> loss_percent{};
  std::optional<bool> up{};

  bool changes_shape() const { return delay_ms || jitter_ms || rate_mbit || loss_percent; }
  // "delay=40ms", "jitter=2ms", "rate=100mbit" or "rate=off", "loss=1%", "up", "down".
  // Errors: kInvalid.
  static Result<LinkChange> parse(const std::vector<std::string>& words);
};

struct DirectionCounters {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  std::uint64_t lost = 0;     // by the link's loss or while it was down
  std::uint64_t dropped = 0;  // by a full queue
};

struct LinkStatus {
  Link link;  // with the shape it has now
  bool up = true;
  DirectionCounters from_a;
  DirectionCounters from_b;
};

class Lab {
 public:
  // Errors: kInvalid (topology), kConflict (that name is up), kUnavailable (a program or kernel
  // feature is missing; says which), kRefused (no root), kIo, kTimeout. After an error nothing is
  // left behind.
  static Result<Lab> up(UpOptions options);
  // A lab that is up, by whomever. Errors: kNotFound.
  static Result<Lab> open(const std::string& name);
  // Takes a lab away, complete or not, its state file readable or not. A lab that is not there is
  // fine. Errors: kIo naming what stayed.
  static Status down(const std::string& name);
  // Every lab and every remainder of one. Supervisors that run as services stay.
  static Status down_all();
  static std::vector<std::string> list() { return labs_present(); }

  Lab(Lab&& other) noexcept = default;
  Lab& operator=(Lab&& other) noexcept;
  ~Lab();  // down() if bound to the caller

  Status down();

  const std::string& name() const { return name_; }
  const Topology& topology() const { return topology_; }
  const Plan& plan() const { return plan_; }
  std::string directory() const;                              // /run/icon-lab/<name>
  std::string host_directory(const std::string& node) const;  // <directory>/hosts/<node>
  // Made before the zones are, so that TXT records carry the ids. Every host has one.
  std::string key_file(const std::string& node) const;
  Result<std::string> supervisor_id(const std::string& node) const;
  std::string netns(const std::string& node) const;  // a name in /run/netns
  // Errors: kNotFound.
  Result<Address> address(const std::string& node) const;
  Result<std::vector<Address>> users(const std::string& node) const;
  Address resolver() const;

  // Runs to the end with the caller's streams; the exit status (128 + signal). Errors: kNotFound.
  Result<int> exec(const std::string& node, RunOptions options) const;
  // Runs to the end and captures the output. Errors: kNotFound, kTimeout.
  Result<CommandOutcome> run(const std::string& node, Command command) const;
  Result<ChildProcess> spawn(const std::string& node, RunOptions options) const;

  Result<std::vector<LinkStatus>> links() const;
  // At once; packets under way keep their time of arrival. "down" loses them, silently, as a cut
  // cable far away does. Errors: kNotFound; kInvalid (a shape for a plain link).
  Status set_link(const std::string& link, const LinkChange& change) const;

  // Processes of the lab itself: relay, name server, resolver, guard.
  const std::vector<ProcessIdentity>& services() const { return services_; }
  bool healthy() const;  // all of them run

 private:
  Lab() = default;
  friend class Builder;

  std::string name_;
  Topology topology_;
  Plan plan_;
  std::vector<ProcessIdentity> services_;
  std::map<std::string, std::string> supervisor_ids_;
  // Only while bound to the caller: the pipe whose end tells the guard that we are gone, and our
  // children, to be reaped.
  UniqueFd guard_pipe_;
  std::vector<ChildProcess> children_;
};

}  // namespace icon::lab
