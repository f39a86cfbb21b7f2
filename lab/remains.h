// What of ours is on this machine: found by names, namespaces and paths, not by what we remember,
// so that nothing a crash or a power cut left escapes. Blocking; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace icon::lab {

inline constexpr std::string_view kLabsDirectory = "/run/icon-lab";

// A process and its start time (clock ticks since boot): the pair is never reused.
struct ProcessIdentity {
  int pid = 0;
  std::uint64_t start_ticks = 0;
  std::string executable;  // base name, for people
  bool operator==(const ProcessIdentity&) const = default;
};

struct Remains {
  std::vector<std::string> namespaces;  // names in /run/netns
  std::vector<std::string> links;       // in the caller's network namespace
  std::vector<std::string> nft_tables;  // "inet icon_x", in the caller's network namespace
  std::vector<std::string> mounts;      // mount points, deepest first
  std::vector<ProcessIdentity> processes;
  std::vector<std::string> cgroups;      // directories, deepest first
  std::vector<std::string> directories;  // state and temporary directories

  std::size_t count() const;
  bool empty() const { return count() == 0; }
  // One line per thing: "namespace icon-demo-t1". Empty when nothing is left.
  std::string describe() const;
  json::Object to_json() const;
};

// Everything of one lab: its namespaces and those of its supervisors' ICONs, the processes in them
// and in its supervisors' cgroups, containers with files in its directory, relay and guard, mounts,
// cgroups, its directory. The caller and its ancestors are not listed, here and below.
Remains scan_lab(const std::string& lab);

// Everything with a name of ours: namespaces icon-*, links and nft tables icon*, processes whose
// executable is icon-* or that run in those namespaces or cgroups, mounts, cgroups icon/*,
// /run/icon-lab/*, /tmp/icon-*, /dev/shm/icon-*.
Remains scan_machine();

// scan_machine() without what belongs to a supervisor that runs in the caller's network namespace,
// as a service of this machine: its namespaces, cgroups and processes are not for a clean-up. With
// no such supervisor, the same as scan_machine().
Remains scan_leftovers();

// Ends the processes, unmounts, removes. Goes on after a failure; absent things are fine. A
// directory with a mount still in it stays. Errors: kIo naming what stayed.
Status remove_remains(const Remains& remains);

// Labs with a directory here, sorted.
std::vector<std::string> labs_present();

}  // namespace icon::lab
