#include "supervisor/docker/shell_order.h"

#include <fcntl.h>

#include <boost/json/serialize.hpp>
#include <cerrno>

#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kOrderBytesMax = 64 << 10;
constexpr std::size_t kPathBytesMax = 4096;
constexpr std::size_t kHierarchiesMax = 64;
constexpr const char* kOrderTakenFile = "/docker.taken";

}  // namespace

Result<ShellOrder> ShellOrder::read(const std::string& icon_directory) {
  ICON_TRY(const auto text, read_file(icon_directory + kShellOrderFile, kOrderBytesMax));
  ICON_TRY(const auto object, json::parse_object(text, kOrderBytesMax));
  ShellOrder order;
  ICON_TRY(order.container, json::get_string(object, "container"));
  ICON_TRY(order.restore, json::get_bool(object, "restore"));
  ICON_TRY(order.runc, json::get_string(object, "runc", kPathBytesMax));
  ICON_TRY(order.rootfs, json::get_string(object, "rootfs", kPathBytesMax));
  ICON_TRY(const auto* files, json::get_array(object, "cgroup_procs_files", kHierarchiesMax));
  for (const auto& file : *files) {
    if (!file.is_string()) return fail(Code::kInvalid, "'cgroup_procs_files' holds no texts");
    order.cgroup_procs_files.emplace_back(file.get_string());
  }
  return order;
}

Status ShellOrder::write(const std::string& icon_directory) const {
  json::Array files;
  for (const auto& file : cgroup_procs_files) files.emplace_back(file);
  const json::Object object{{"container", container},
                            {"restore", restore},
                            {"runc", runc},
                            {"rootfs", rootfs},
                            {"cgroup_procs_files", std::move(files)}};
  return write_file_atomic(icon_directory + kShellOrderFile, boost::json::serialize(object), 0600);
}

Result<bool> take_order(const std::string& icon_directory) {
  const std::string path = icon_directory + kOrderTakenFile;
  const UniqueFd mark(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (mark) return true;
  if (errno == EEXIST) return false;
  return fail_errno("make " + path);
}

}  // namespace icon::supervisor
