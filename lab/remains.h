// What of ours is on this machine: found by names, namespaces and paths, not by what we remember,
// so that nothing a crash or a power cut left escapes. Blocking; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace icon::lab {

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

  bool empty() const;
  std::size_t count() const;
  // One line per thing: "namespace icon-demo-t1". Empty text when nothing is left.
  std::string describe() const;
  json::Object to_json() const;
};

// Everything of one lab: its namespaces (those of its supervisors' ICONs too), processes in them or
// with files under its directory, cgroups of its supervisors, mounts, directory.
// Errors: kRefused without root, kIo.
Result<Remains> scan_lab(const std::string& lab);
// Everything with a prefix of ours: namespaces, links and nft tables icon*, processes icon-*,
// processes in those namespaces, cgroups icon/*, /run/icon-lab/*, /tmp/icon-*, /dev/shm/icon-*.
// The caller and its ancestors are not listed.
Result<Remains> scan_machine();
// What of `all` belongs to no running supervisor outside of labs. scan_machine() sees those too
// (icon-supervisor as a service of this machine); a clean-up must not touch them or their ICONs.
struct Ownership {
  Remains labs;      // safe to remove
  Remains services;  // of a supervisor in the caller's network namespace
};
Ownership split_services(const Remains& all);

// Ends the processes (SIGTERM where `gentle`, then SIGKILL, by pidfd), unmounts, removes. Goes on
// after a failure; absent things are fine. Errors: kIo naming what stayed.
Status remove_remains(const Remains& remains);

// Names of labs with a directory or a namespace here.
std::vector<std::string> labs_present();

}  // namespace icon::lab
