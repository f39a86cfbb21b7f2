// Small files, whole: bounded reads, atomic writes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace icon {

// Errors: kLimit when the file is larger than `bytes_max`; kNotFound, kRefused, kIo.
Result<std::string> read_file(const std::string& path, std::size_t bytes_max);
// Temporary file in the same directory, fsync, rename. Errors: kIo, kRefused, kNotFound.
Status write_file_atomic(const std::string& path, std::string_view content, unsigned mode);
// One write to an existing kernel file (/proc/sys, cgroup). Errors: kNotFound, kRefused, kIo.
Status write_kernel_file(const std::string& path, std::string_view content);
// mkdir -p. Errors: kIo, kRefused.
Status make_directories(const std::string& path, unsigned mode = 0755);

// DIRECTORY/RELATIVE, or the same below one of DIRECTORY's parents: how a program that was built in
// a source tree finds what the tree's set-up made. Empty when there is none.
std::string find_above(const std::string& directory, const std::string& relative);

}  // namespace icon
