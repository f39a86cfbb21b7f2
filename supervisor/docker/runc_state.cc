#include "supervisor/docker/runc_state.h"

#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <sstream>

#include "base/file.h"
#include "base/json.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kStateBytesMax = 1 << 20;
constexpr std::int64_t kPidMax = 1 << 22;
constexpr int kStartTicksField = 22;  // proc(5), /proc/PID/stat
constexpr const char* kAdoptedMark = "/icon-adopted";

Result<std::uint64_t> start_ticks(int pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  ICON_TRY(const auto text, read_file(path, 4096));
  const auto after_name = text.rfind(')');
  if (after_name == std::string::npos) return fail(Code::kIo, path + " is malformed");
  std::istringstream fields(text.substr(after_name + 1));
  std::string skipped;
  for (int field = 3; field < kStartTicksField; ++field) fields >> skipped;
  std::uint64_t ticks = 0;
  if (!(fields >> ticks)) return fail(Code::kIo, path + " is malformed");
  return ticks;
}

}  // namespace

Result<std::string> with_other_init(const std::string& state, int init_pid,
                                    std::uint64_t init_start, const std::string& rootfs) {
  ICON_TRY(auto object, json::parse_object(state, kStateBytesMax));
  ICON_TRY(const auto old_pid, json::get_int(object, "init_process_pid", 1, kPidMax));
  ICON_TRY(const auto* paths, json::get_object(object, "namespace_paths"));
  ICON_TRY(const auto* config, json::get_object(object, "config"));
  const std::string old_prefix = "/proc/" + std::to_string(old_pid) + "/";
  json::Object new_paths = *paths;
  for (auto& [kind, path] : new_paths) {
    if (!path.is_string() || !std::string_view(path.get_string()).starts_with(old_prefix)) continue;
    const std::string rest(std::string_view(path.get_string()).substr(old_prefix.size()));
    path = "/proc/" + std::to_string(init_pid) + "/" + rest;
  }
  json::Object new_config = *config;
  new_config["rootfs"] = rootfs;
  object["namespace_paths"] = std::move(new_paths);
  object["config"] = std::move(new_config);
  object["init_process_pid"] = init_pid;
  object["init_process_start"] = init_start;
  return boost::json::serialize(object);
}

Status adopt_init(const std::string& state_directory, int init_pid, const std::string& rootfs) {
  const std::string path = state_directory + "/state.json";
  ICON_TRY(const auto state, read_file(path, kStateBytesMax));
  ICON_TRY(const auto start, start_ticks(init_pid));
  ICON_TRY(const auto changed, with_other_init(state, init_pid, start, rootfs));
  ICON_CHECK(write_file_atomic(path, changed, 0600));
  ICON_CHECK(write_file_atomic(state_directory + kAdoptedMark, "", 0600));
  // While it is there, runc takes the container for one that waits for `start`.
  if (unlink((state_directory + "/exec.fifo").c_str()) != 0 && errno != ENOENT)
    return fail_errno("unlink exec.fifo");
  return {};
}

Result<int> read_init_pid(const std::string& state_directory) {
  ICON_TRY(const auto state, read_file(state_directory + "/state.json", kStateBytesMax));
  ICON_TRY(const auto object, json::parse_object(state, kStateBytesMax));
  ICON_TRY(const auto pid, json::get_int(object, "init_process_pid", 1, kPidMax));
  return static_cast<int>(pid);
}

bool take_adopted_mark(const std::string& state_directory) {
  return unlink((state_directory + kAdoptedMark).c_str()) == 0;
}

}  // namespace icon::supervisor
