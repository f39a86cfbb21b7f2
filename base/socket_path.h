// A Unix socket's path of any length: sockaddr_un holds 107 characters.
#pragma once

#include <sys/un.h>

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace icon {

// The path itself where it fits, else by way of its directory, which is open as long as this lives:
// keep it until bind() or connect() has returned.
struct SocketPath {
  // Errors: kIo and the like (no such directory), kInvalid (the last part alone is too long).
  static Result<SocketPath> of(const std::string& path);

  sockaddr_un address() const;

  UniqueFd directory;
  std::string text;  // at most 107 characters
};

}  // namespace icon
