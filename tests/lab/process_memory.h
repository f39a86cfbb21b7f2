// What a process has in its memory.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <sstream>
#include <string>

#include "base/fd.h"
#include "base/file.h"

namespace icon::lab {

// Whether `needle` is anywhere in the memory of the process.
inline bool holds(std::int64_t pid, const std::string& needle) {
  const std::string proc = "/proc/" + std::to_string(pid);
  const UniqueFd memory(::open((proc + "/mem").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(memory) << "cannot look into " << proc;
  std::istringstream maps(read_file(proc + "/maps", 1 << 20).value_or(""));
  for (std::string line; std::getline(maps, line);) {
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    char readable = '-';
    if (sscanf(line.c_str(), "%lx-%lx %c", &start, &end, &readable) != 3 || readable != 'r')
      continue;
    std::string bytes(end - start, '\0');
    const ssize_t count =
        pread(memory.get(), bytes.data(), bytes.size(), static_cast<off_t>(start));
    if (count <= 0) continue;
    bytes.resize(static_cast<std::size_t>(count));
    if (bytes.find(needle) != std::string::npos) return true;
  }
  return false;
}

}  // namespace icon::lab
