// An image of Docker's as one read-only directory, which an ICON's root is mounted on and which
// travels with it. Loop thread only.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "supervisor/container_spec.h"
#include "supervisor/docker/engine_client.h"

namespace icon::supervisor {

// What the image says about its service goes into `spec` where that is silent. The agent's two
// lines in a Dockerfile are taken off: the supervisor brings the agent. Errors: kInvalid.
Status take_image_defaults(const DockerImage& image, ContainerSpec& spec);

// The words of a service's command without the agent's before them.
void take_agent_off(std::vector<std::string>& command);

// Mounts the layers on `directory`, which it makes; with one layer a bind mount. Errors: kIo.
Status mount_image(const DockerImage& image, const std::string& directory);
// Absent: fine.
Status unmount_image(const std::string& directory);

}  // namespace icon::supervisor
