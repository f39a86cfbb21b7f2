// Logs lie in the run directory, which travels with the ICON while its service is stopped: they
// must stay small.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"

namespace icon::agent {

struct LogLimits {
  std::size_t bytes_max = 4 << 20;  // then the file is cut
  std::size_t bytes_kept = 512 << 10;
};

// When `path` is too large, its last lines go to `path`.old and the file begins anew. Its writers
// go on: they append. What they write in the very moment is lost. Absent file: fine.
// Errors: kIo, kRefused.
Status limit_log(const std::string& path, LogLimits limits);

}  // namespace icon::agent
