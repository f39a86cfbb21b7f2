// A container that `docker run` has made, looked at by one who wants to make an ICON of it: what
// the Engine says of it, and what of that an ICON cannot have. Pure.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "migration/movable/movable.h"
#include "supervisor/container_spec.h"
#include "supervisor/docker/engine_client.h"

namespace icon::supervisor {

struct Adoption {
  std::string container;  // Docker's id
  std::string name;
  int pid = 0;
  std::string image_id;    // "sha256:..."
  std::string image_name;  // as it was run; may mean another image by now
  std::string upper;       // the writable layer
  DockerImage service;     // what it runs; `layers` are not set
  ContainerSpec spec;      // the rest: ports, limits, host name
};

// From GET /containers/{id}/json. Errors: kRefused, with everything that stands in the way and what
// to do about it; kInvalid.
Result<Adoption> read_adoption(const json::Object& container);

// Without what comes from how Docker makes containers and goes when the supervisor makes it anew.
void drop_dockers_own(migration::MovableReport& report);

}  // namespace icon::supervisor
