// Files below a directory whose content is not ours (a container's root, a run directory that a
// container writes): no link and no ".." ever leads out of it (openat2, RESOLVE_IN_ROOT).
#pragma once

#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace icon::supervisor {

// `path` is relative to `root`; a leading '/' means the root. `flags` as for open(2), close-on-exec
// added. Errors: kNotFound, kRefused, kIo.
Result<UniqueFd> open_in_root(const std::string& root, const std::string& path, int flags,
                              unsigned mode = 0);
// mkdir -p. Existing directories (or links to such) are fine. Errors: kIo, kRefused.
Status make_directories_in_root(const std::string& root, const std::string& path, unsigned mode);
// Replaces whatever stands there (a link is replaced, not followed). The parent must exist.
Status write_file_in_root(const std::string& root, const std::string& path,
                          std::string_view content, unsigned mode);
bool is_executable_in_root(const std::string& root, const std::string& path);

}  // namespace icon::supervisor
