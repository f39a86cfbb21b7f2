// Processes found in /proc and ended without ever hitting a reused pid. Blocking; any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "lab/remains.h"

namespace icon::lab {

struct NamespaceId {
  dev_t device = 0;
  ino_t inode = 0;
  auto operator<=>(const NamespaceId&) const = default;
};

// nullopt: not there, or a zombie.
std::optional<ProcessIdentity> identify(int pid);
bool is_running(const ProcessIdentity& process);
std::optional<NamespaceId> network_namespace_of(int pid);
std::optional<NamespaceId> network_namespace_at(const std::string& path);
std::vector<std::string> arguments_of(int pid);
// This process and its parents, up to 1.
std::vector<int> self_and_ancestors();
// Living processes that `wanted` picks.
std::vector<ProcessIdentity> find_processes(const std::function<bool(int pid)>& wanted);

// SIGKILL to each that is still the one that was found, then waits. Errors: kTimeout naming who is
// still there.
Status end_processes(const std::vector<ProcessIdentity>& processes, Millis limit);

}  // namespace icon::lab
