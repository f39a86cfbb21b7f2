#include "lab/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <sstream>

#include "base/fd.h"
#include "base/file.h"

namespace icon::lab {
namespace {

constexpr std::size_t kProcFileBytesMax = std::size_t{256} * 1024;
constexpr int kAncestorsMax = 64;

std::string proc_path(int pid, const char* file) {
  return "/proc/" + std::to_string(pid) + "/" + file;
}

std::string executable_of(int pid) {
  std::array<char, 4096> target{};
  const ssize_t length = readlink(proc_path(pid, "exe").c_str(), target.data(), target.size() - 1);
  if (length <= 0) return {};
  std::string path(target.data(), static_cast<std::size_t>(length));
  constexpr std::string_view kDeleted = " (deleted)";
  if (path.ends_with(kDeleted)) path.resize(path.size() - kDeleted.size());
  return path.substr(path.rfind('/') + 1);
}

struct Stat {
  char state = 0;
  int parent = 0;
  std::uint64_t start_ticks = 0;
};

// proc_pid_stat(5): the second field is a name in parentheses that may hold anything.
std::optional<Stat> stat_of(int pid) {
  const auto text = read_file(proc_path(pid, "stat"), kProcFileBytesMax);
  if (!text) return std::nullopt;
  const auto close = text->rfind(')');
  if (close == std::string::npos) return std::nullopt;
  std::istringstream fields(text->substr(close + 1));
  Stat stat;
  std::string skipped;
  fields >> stat.state >> stat.parent;
  for (int field = 5; field < 22; ++field) fields >> skipped;
  fields >> stat.start_ticks;
  if (!fields) return std::nullopt;
  return stat;
}

}  // namespace

std::optional<ProcessIdentity> identify(int pid) {
  const auto stat = stat_of(pid);
  if (!stat || stat->state == 'Z' || stat->state == 'X') return std::nullopt;
  return ProcessIdentity{pid, stat->start_ticks, executable_of(pid)};
}

bool is_running(const ProcessIdentity& process) {
  const auto now = identify(process.pid);
  return now && now->start_ticks == process.start_ticks;
}

std::optional<NamespaceId> network_namespace_at(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return std::nullopt;
  return NamespaceId{status.st_dev, status.st_ino};
}

std::optional<NamespaceId> network_namespace_of(int pid) {
  return network_namespace_at(proc_path(pid, "ns/net"));
}

std::vector<std::string> arguments_of(int pid) {
  const auto text = read_file(proc_path(pid, "cmdline"), kProcFileBytesMax);
  std::vector<std::string> arguments;
  if (!text) return arguments;
  for (std::size_t at = 0; at < text->size();) {
    const auto end = std::min(text->find('\0', at), text->size());
    arguments.push_back(text->substr(at, end - at));
    at = end + 1;
  }
  return arguments;
}

std::vector<int> self_and_ancestors() {
  std::vector<int> pids;
  int pid = getpid();
  while (pid > 0 && pids.size() < kAncestorsMax) {
    pids.push_back(pid);
    const auto stat = stat_of(pid);
    pid = stat ? stat->parent : 0;
  }
  return pids;
}

std::vector<ProcessIdentity> find_processes(const std::function<bool(int pid)>& wanted) {
  std::vector<ProcessIdentity> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/proc"), closedir);
  if (!directory) return found;
  while (const dirent* entry = readdir(directory.get())) {
    const std::string_view name(entry->d_name);
    int pid = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (parsed.ec != std::errc() || parsed.ptr != name.data() + name.size()) continue;
    // Identified first: what is decided below is then about this process or about none.
    const auto identity = identify(pid);
    if (identity && wanted(pid) && is_running(*identity)) found.push_back(*identity);
  }
  return found;
}

Status end_processes(const std::vector<ProcessIdentity>& processes, Millis limit) {
  std::vector<std::pair<ProcessIdentity, UniqueFd>> open;
  for (const auto& process : processes) {
    UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0)));
    // From here on the descriptor means whoever has the pid now; so look who that is.
    if (!pidfd || !is_running(process)) continue;
    syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
    open.emplace_back(process, std::move(pidfd));
  }
  const auto deadline = std::chrono::steady_clock::now() + limit;
  std::string still;
  for (const auto& [process, pidfd] : open) {
    const auto left =
        std::chrono::duration_cast<Millis>(deadline - std::chrono::steady_clock::now());
    pollfd ended{pidfd.get(), POLLIN, 0};
    if (poll(&ended, 1, static_cast<int>(std::max<long>(left.count(), 0))) > 0) continue;
    still += " " + process.executable + " (pid " + std::to_string(process.pid) + ")";
  }
  if (still.empty()) return {};
  return fail(Code::kTimeout, "killed, but still there:" + still);
}

}  // namespace icon::lab
