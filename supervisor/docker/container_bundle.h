// A container that Docker is about to make, read from the bundle that it gave its runtime: what
// `docker run --runtime icon -e ICON_PUBLISH=6379 IMAGE` asks for.
#pragma once

#include <string>

#include "base/json.h"
#include "base/result.h"
#include "supervisor/icons.h"

namespace icon::supervisor {

// The variables that speak to us; they do not reach the service.
inline constexpr const char* kNameVariable = "ICON_NAME=";  // else the host name
inline constexpr const char* kPublishVariable =
    "ICON_PUBLISH=";  // as `icon run -p`: "6379,8080:80,53/udp"
inline constexpr const char* kPolicyVariable = "ICON_POLICY=";  // the policy's text

// Takes them out of `spec.env`. Errors: kInvalid.
Status take_icon_variables(ContainerSpec& spec);
// The directories of an overlay, the topmost first, from a line of options as the kernel shows them
// ("rw,lowerdir=/a:/b,upperdir=..."); empty when there are none. Pure.
std::vector<std::string> lower_directories(const std::string& mount_options);

// Reads <bundle>/config.json and what its root is mounted from. Errors: kInvalid: with volumes,
// which cannot move, or without an overlay below; kNotFound, kLimit.
Result<RunRequest> read_docker_bundle(const std::string& bundle);

}  // namespace icon::supervisor
