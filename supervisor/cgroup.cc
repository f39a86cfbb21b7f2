#include "supervisor/cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/file.h"

namespace icon::supervisor {
namespace {

namespace asio = boost::asio;
constexpr Millis kPollFirst{1};
constexpr Millis kPollMax{20};
constexpr Millis kRemoveLimit{3'000};
constexpr Millis kLetGoAfter{20};
constexpr std::int64_t kCpuPeriodUs = 100'000;
constexpr std::size_t kProcsBytesMax = 4 << 20;
constexpr std::size_t kStatBytesMax = 4096;
constexpr std::size_t kNamedMax = 4;  // processes in an error
constexpr const char* kPidsMax = "4096";

struct Hierarchy {
  std::string mountpoint;
  std::string controllers;  // "cpu,cpuacct", "name=systemd"; empty for v2
};
struct Hierarchies {
  std::vector<Hierarchy> v1;
  std::string v2;
};

// From /proc/self/mountinfo: "36 35 0:31 / MOUNTPOINT opts - TYPE source SUPER_OPTIONS". Of several
// mounts of one hierarchy the first: others may be there for a moment only (CRIU makes some).
Hierarchies find_hierarchies() {
  Hierarchies found;
  std::ifstream file("/proc/self/mountinfo");
  std::string line;
  while (std::getline(file, line)) {
    const auto dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream head(line.substr(0, dash));
    std::istringstream tail(line.substr(dash + 3));
    std::string skip, mountpoint, type, source, options;
    head >> skip >> skip >> skip >> skip >> mountpoint;
    tail >> type >> source >> options;
    if (type == "cgroup2" && found.v2.empty()) found.v2 = mountpoint;
    if (type != "cgroup") continue;
    std::string controllers;
    std::istringstream parts(options);
    for (std::string part; std::getline(parts, part, ',');)
      if (part != "rw" && part != "ro" && part != "xattr" && !part.starts_with("release_agent"))
        controllers += (controllers.empty() ? "" : ",") + part;
    const bool is_known = std::any_of(found.v1.begin(), found.v1.end(), [&](const auto& hierarchy) {
      return hierarchy.controllers == controllers;
    });
    if (!is_known) found.v1.push_back({mountpoint, controllers});
  }
  return found;
}

bool has_controller(const std::string& controllers, const std::string& name) {
  return ("," + controllers + ",").find("," + name + ",") != std::string::npos;
}

bool exists(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0;
}

// A cpuset of v1 is empty until somebody fills it, and then nobody may join.
Status inherit_cpuset(const std::string& directory) {
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
    ICON_TRY(const auto own, read_file(directory + file, 4096));
    if (own.size() > 1) continue;
    ICON_TRY(const auto parent, read_file(directory.substr(0, directory.rfind('/')) + file, 4096));
    ICON_CHECK(write_kernel_file(directory + file, parent));
  }
  return {};
}

// v2: a controller works below a directory only if that directory hands it down. One at a time, as
// not every kernel has each; a limit that cannot be set then is none.
void hand_down_controllers(const std::string& directory) {
  for (const char* controller : {"+cpu", "+memory", "+pids"})
    (void)write_kernel_file(directory + "/cgroup.subtree_control", controller);
}

// mkdir -p below the hierarchy's mountpoint.
Status make_levels(const std::string& mountpoint, const std::string& path, bool v2) {
  const bool cpuset = !v2 && exists(mountpoint + "/cpuset.cpus");
  for (std::size_t at = 1; at != std::string::npos && at <= path.size();) {
    const auto next = std::min(path.find('/', at), path.size());
    const std::string level = mountpoint + path.substr(0, next);
    if (v2) hand_down_controllers(level.substr(0, level.rfind('/')));
    if (mkdir(level.c_str(), 0755) != 0 && errno != EEXIST) return fail_errno("mkdir " + level);
    if (cpuset) ICON_CHECK(inherit_cpuset(level));
    at = next + 1;
  }
  return {};
}

// What a container may open, as runc allows it: the harmless character devices.
Status limit_devices(const std::string& directory) {
  ICON_CHECK(write_kernel_file(directory + "/devices.deny", "a"));
  for (const char* rule : {"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm",
                           "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm"})
    ICON_CHECK(write_kernel_file(directory + "/devices.allow", rule));
  return {};
}

Status write_if_present(const std::string& file, const std::string& value) {
  if (!exists(file)) return {};
  return write_kernel_file(file, value);
}

Status set_limits(const std::string& directory, bool v2, const wire::Resources& limits) {
  ICON_CHECK(write_if_present(directory + "/pids.max", kPidsMax));
  if (limits.cpu_millis > 0) {
    const std::string quota = std::to_string(limits.cpu_millis * kCpuPeriodUs / 1000);
    const std::string period = std::to_string(kCpuPeriodUs);
    if (v2)
      ICON_CHECK(write_if_present(directory + "/cpu.max", quota + " " + period));
    else
      ICON_CHECK(write_if_present(directory + "/cpu.cfs_quota_us", quota));
  }
  if (limits.memory_bytes > 0)
    ICON_CHECK(write_if_present(directory + (v2 ? "/memory.max" : "/memory.limit_in_bytes"),
                                std::to_string(limits.memory_bytes)));
  return {};
}

// "12 redis-server D jbd2_log_wait_commit": who keeps a group from freezing, for the operator.
std::string where_it_waits(int pid) {
  const std::string process = "/proc/" + std::to_string(pid);
  std::string stat = read_file(process + "/stat", kStatBytesMax).value_or("");
  const auto name_end = stat.rfind(") ");
  if (name_end == std::string::npos) return std::to_string(pid) + " (gone)";
  stat.resize(name_end + 3);  // "12 (redis-server) D"
  return stat + " " + read_file(process + "/wchan", kStatBytesMax).value_or("");
}

Task<void> pause(Millis& step) {
  asio::steady_timer timer(co_await asio::this_coro::executor, step);
  step = std::min(step * 2, kPollMax);
  co_await timer.async_wait(kNoThrow);
}

}  // namespace

Result<Cgroup> Cgroup::at(const std::string& path) {
  const auto found = find_hierarchies();
  Cgroup cgroup;
  cgroup.path_ = path;
  for (const auto& hierarchy : found.v1) {
    cgroup.directories_.push_back(hierarchy.mountpoint + path);
    if (has_controller(hierarchy.controllers, "freezer"))
      cgroup.freezer_ = hierarchy.mountpoint + path;
  }
  if (!cgroup.freezer_.empty()) {
    // The hybrid layout: v2 without controllers beside v1; runc makes a directory there too.
    if (!found.v2.empty()) cgroup.directories_.push_back(found.v2 + path);
    return cgroup;
  }
  if (found.v2.empty())
    return fail(Code::kUnavailable,
                "no control groups: mount a cgroup v1 freezer or cgroup2 on /sys/fs/cgroup");
  return on_v2(found.v2, path);
}

Cgroup Cgroup::on_v2(const std::string& mountpoint, const std::string& path) {
  Cgroup cgroup;
  cgroup.path_ = path;
  cgroup.v2_ = true;
  cgroup.directories_ = {mountpoint + path};
  cgroup.freezer_ = cgroup.directories_.front();
  return cgroup;
}

Status Cgroup::create(const wire::Resources& limits) const {
  for (const auto& directory : directories_) {
    const std::string mountpoint = directory.substr(0, directory.size() - path_.size());
    ICON_CHECK(make_levels(mountpoint, path_, v2_));
    if (exists(directory + "/devices.deny")) ICON_CHECK(limit_devices(directory));
    ICON_CHECK(set_limits(directory, v2_, limits));
  }
  return {};
}

Result<std::vector<UniqueFd>> Cgroup::open_procs() const {
  std::vector<UniqueFd> files;
  for (const auto& directory : directories_) {
    const std::string path = directory + "/cgroup.procs";
    UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file) return fail_errno("open " + path);
    files.push_back(std::move(file));
  }
  return files;
}

int Cgroup::join(const std::vector<UniqueFd>& procs) {
  for (const auto& file : procs)
    if (write(file.get(), "0", 1) != 1) return -1;
  return 0;
}

bool Cgroup::frozen() const {
  if (v2_) {
    const auto events = read_file(freezer_ + "/cgroup.events", 4096);
    return events && events->find("frozen 1") != std::string::npos;
  }
  const auto state = read_file(freezer_ + "/freezer.state", 64);
  return state && state->starts_with("FROZEN");
}

Task<Status> Cgroup::freeze(Millis limit) const {
  const auto end = std::chrono::steady_clock::now() + limit;
  auto let_go = std::chrono::steady_clock::now() + kLetGoAfter;
  Millis step = kPollFirst;
  for (;;) {
    // Again each time: on v1 a task that forks at the wrong moment needs a second request.
    if (v2_)
      ICON_CO_CHECK(write_kernel_file(freezer_ + "/cgroup.freeze", "1"));
    else
      ICON_CO_CHECK(write_kernel_file(freezer_ + "/freezer.state", "FROZEN"));
    if (frozen()) co_return Status{};
    const auto now = std::chrono::steady_clock::now();
    if (now >= end) break;
    if (!v2_ && now >= let_go) {
      // An exec waits for its other threads to die, which on v1 a frozen thread cannot.
      ICON_CO_CHECK(thaw());
      let_go = now + kLetGoAfter;
    }
    co_await pause(step);
  }
  std::string waiting;
  auto pids = processes();
  pids.resize(std::min(pids.size(), kNamedMax));
  for (const int pid : pids) waiting += (waiting.empty() ? "" : ", ") + where_it_waits(pid);
  (void)thaw();
  co_return fail(Code::kTimeout, "cgroup " + path_ + " did not freeze within " +
                                     std::to_string(limit.count()) +
                                     " ms: a task hangs in the kernel (" + waiting + ")");
}

Status Cgroup::thaw() const {
  return v2_ ? write_kernel_file(freezer_ + "/cgroup.freeze", "0")
             : write_kernel_file(freezer_ + "/freezer.state", "THAWED");
}

std::vector<int> Cgroup::processes() const {
  std::vector<int> pids;
  const auto text = read_file(freezer_ + "/cgroup.procs", kProcsBytesMax);
  if (!text) return pids;
  std::istringstream lines(*text);
  for (int pid = 0; lines >> pid;)
    if (pid > 0) pids.push_back(pid);
  return pids;
}

Task<Status> Cgroup::kill_all(Millis limit) const {
  const auto end = std::chrono::steady_clock::now() + limit;
  Millis step = kPollFirst;
  for (;;) {
    const auto pids = processes();
    if (pids.empty()) co_return Status{};
    for (const int pid : pids) ::kill(pid, SIGKILL);
    // A frozen task dies when it thaws.
    if (exists(freezer_)) (void)thaw();
    if (std::chrono::steady_clock::now() >= end)
      co_return fail(Code::kTimeout, "cgroup " + path_ + ": process " +
                                         std::to_string(pids.front()) + " does not die");
    co_await pause(step);
  }
}

Task<Status> Cgroup::remove() const {
  const auto end = std::chrono::steady_clock::now() + kRemoveLimit;
  for (const auto& directory : directories_) {
    Millis step = kPollFirst;
    // The kernel needs a moment after the last task: EBUSY until then.
    while (rmdir(directory.c_str()) != 0 && errno != ENOENT) {
      const int error = errno;
      if (std::chrono::steady_clock::now() >= end)
        co_return fail(error == EBUSY ? Code::kConflict : Code::kIo,
                       "cgroup " + directory + " cannot be removed: " + strerror(error));
      co_await pause(step);
    }
    // The host's level above goes with its last ICON; others may share the one above that.
    const std::string mountpoint = directory.substr(0, directory.size() - path_.size());
    for (auto at = path_.rfind('/'); at != std::string::npos && at > 0;
         at = path_.rfind('/', at - 1))
      if (rmdir((mountpoint + path_.substr(0, at)).c_str()) != 0) break;
  }
  co_return Status{};
}

}  // namespace icon::supervisor
