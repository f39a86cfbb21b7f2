// The file into which an agent writes what its rounds saw.
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "base/result.h"

namespace icon::agent {

// One more line. At half of `bytes_max` the file becomes PATH.old, in place of an older one, so
// that both stay within it. Nothing stays open. A line that does not fit on the disk is taken back.
// Errors: kLimit (a line longer than the half), kIo, kRefused, kNotFound.
Status append_to_record(const std::string& path, const json::Object& line, std::int64_t bytes_max);

}  // namespace icon::agent
