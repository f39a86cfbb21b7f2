// The service as a child process: how it is started, and what it gets as its standard streams.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace icon::agent {

struct ServiceStreams {
  UniqueFd input;   // invalid: inherited
  UniqueFd output;  // for both stdout and stderr; invalid: inherited
};

// /dev/null (an empty pipe where there is none) and the log file, both opened inside the container:
// a descriptor from outside could not be checkpointed. Errors: kRefused, kIo.
Result<ServiceStreams> open_service_streams(const std::string& log_path);
// The same for ourselves: 0 is /dev/null, 1 and 2 go to `log_path`. Everything above 2 is closed.
// Errors: kRefused, kIo.
Status detach_own_streams(const std::string& log_path);

// Starts argv[0] (looked up in PATH) as a child. With `own_session` it leads a session, else only
// a process group, which gets the terminal where there is one, as a shell would do it.
// Signals that we ignore or handle are back to their defaults in it; of our descriptors it has none
// but the streams, with `own_session`.
// Errors: kNotFound (exit 127 as a shell has it), kRefused (not executable: 126), kIo.
Result<pid_t> start_service(const std::vector<std::string>& argv, const ServiceStreams& streams,
                            bool own_session);
// 127 or 126.
int exit_code_of_start(const Error& error);

}  // namespace icon::agent
