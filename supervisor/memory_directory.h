// A directory whose files never touch a disk: a tmpfs of its own, root only, gone with the object.
// Checkpoints live here at both ends (I5).
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/result.h"

namespace icon::supervisor {

class MemoryDirectory {
 public:
  // Makes `path` and mounts a tmpfs of at most `bytes_max` on it. What an earlier process left
  // mounted there is unmounted first. Errors: kIo, kRefused.
  static Result<MemoryDirectory> create(const std::string& path, std::uint64_t bytes_max);
  // Unmounts what a killed process left at `path` and removes it. What is not there is fine.
  static void remove_left_over(const std::string& path);

  MemoryDirectory() = default;
  MemoryDirectory(MemoryDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  MemoryDirectory& operator=(MemoryDirectory&& other) noexcept;
  ~MemoryDirectory() { reset(); }

  const std::string& path() const { return path_; }
  void reset();

 private:
  std::string path_;
};

}  // namespace icon::supervisor
