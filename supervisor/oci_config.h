// The OCI runtime configuration of an ICON's container. Pure.
#pragma once

#include <string>

#include "base/json.h"
#include "supervisor/container_spec.h"

namespace icon::supervisor {

struct OciParts {
  std::string root_path;    // absolute
  std::string run_dir;      // bind-mounted to /run/icon
  std::string netns_path;   // of the container's network namespace
  std::string cgroup_path;  // absolute within each hierarchy
};

inline constexpr const char* kRunMountpoint = "/run/icon";
inline constexpr const char* kAgentPath = "/run/icon/bin/icon-agent";  // inside
inline constexpr const char* kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// The agent is PID 1 and starts the service. Stays within what CRIU dumps and restores without the
// runtime: one external mount, no cgroup mount, no terminal.
json::Object oci_config(const ContainerSpec& spec, const OciParts& parts);

}  // namespace icon::supervisor
