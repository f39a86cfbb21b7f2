// `docker logs` for an ICON. What its service writes lies inside the container, where it travels
// with it; this carries it on to Docker, from its first line, also what was written before a move.
#pragma once

#include <string>

#include "base/result.h"

namespace icon::supervisor {

// Copies `run_directory`/log/service.log, and what is added to it, to our standard output until the
// process of `init_pidfd` has ended and nothing is left. Blocking. Errors: kIo.
Status pump_service_log(const std::string& run_directory, int init_pidfd);

}  // namespace icon::supervisor
