#include "lab/programs.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "base/file.h"

namespace icon::lab {
namespace {

namespace fs = std::filesystem;

bool is_program(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(path, error) && access(path.c_str(), X_OK) == 0;
}

}  // namespace

Result<std::string> find_program(const std::string& name, const std::string& package) {
  const char* const path = std::getenv("PATH");
  std::istringstream places(std::string(path != nullptr ? path : "") +
                            ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin");
  for (std::string place; std::getline(places, place, ':');)
    if (auto path = fmt::format("{}/{}", place, name); !place.empty() && is_program(path))
      return path;
  return fail(Code::kUnavailable, name + " is missing; install it: apt-get install " + package);
}

Result<std::string> find_helper(const std::string& name, const std::string& directory) {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  const std::string beside = (directory.empty() ? self.parent_path().string() : directory);
  if (is_program(beside + "/" + name)) return beside + "/" + name;
  auto found = find_program(name, "icon");
  if (found) return found;
  return fail(Code::kUnavailable, name + " is neither in " + beside + " nor in PATH; build it");
}

Result<std::string> without_profile(const std::string& program, const std::string& directory) {
  const auto enabled = read_file("/sys/module/apparmor/parameters/enabled", 16);
  if (!enabled || !enabled->starts_with('Y')) return program;
  const std::string copy = directory + "/" + fs::path(program).filename().string();
  std::error_code error;
  fs::copy_file(program, copy, fs::copy_options::overwrite_existing, error);
  if (error) return fail(Code::kIo, "copy " + program + " to " + copy + ": " + error.message());
  return copy;
}

}  // namespace icon::lab
