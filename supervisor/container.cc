// Containers, second half: processes.
#include "supervisor/container.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <filesystem>
#include <sstream>

#include "base/file.h"
#include "base/log.h"
#include "base/subprocess.h"
#include "supervisor/docker/docker_containers.h"
#include "supervisor/docker/image_root.h"
#include "supervisor/removal.h"
#include "supervisor/safe_path.h"

namespace icon::supervisor {
namespace {

namespace asio = boost::asio;
constexpr Millis kRuncLimit{30'000};
constexpr std::size_t kSmallFileMax = 64 << 10;
constexpr int kStartTicksField = 22;  // proc(5), /proc/PID/stat

struct ProcessStat {
  char state = '?';
  std::uint64_t start_ticks = 0;
};

Result<ProcessStat> read_stat(int pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  ICON_TRY(const auto text, read_file(path, kSmallFileMax));
  // The name in parentheses may hold anything, parentheses too.
  const auto after_name = text.rfind(')');
  if (after_name == std::string::npos) return fail(Code::kIo, path + " is malformed");
  std::istringstream fields(text.substr(after_name + 1));
  ProcessStat stat;
  fields >> stat.state;
  std::string skipped;
  for (int field = 4; field < kStartTicksField; ++field) fields >> skipped;
  if (!(fields >> stat.start_ticks)) return fail(Code::kIo, path + " is malformed");
  return stat;
}

bool in_cgroup(int pid, const std::string& path) {
  const auto text = read_file("/proc/" + std::to_string(pid) + "/cgroup", kSmallFileMax);
  return text && text->find(path + "\n") != std::string::npos;
}

// runc's log: one JSON object per line; the last error says what went wrong.
std::string runc_error(const std::string& log_path) {
  const auto text = read_file(log_path, 1 << 20);
  std::string message = "runc failed without a word";
  if (!text) return message;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    const auto entry = json::parse_object(line, kSmallFileMax);
    if (!entry) continue;
    const auto level = json::get_string_or(*entry, "level", "");
    const auto words = json::get_string_or(*entry, "msg", "", kSmallFileMax);
    if (level && words && (*level == "error" || *level == "fatal")) message = *words;
  }
  return message;
}

}  // namespace

Result<ProcessIdentity> identify_process(int pid) {
  const auto stat = read_stat(pid);
  if (!stat || stat->state == 'Z' || stat->state == 'X')
    return fail(Code::kNotFound, "no process " + std::to_string(pid));
  return ProcessIdentity{pid, stat->start_ticks};
}

// One container's PID 1 and who wants to know of its end. Shared with the wait on the loop.
struct Containers::Running {
  Running(IoContext& loop, ProcessIdentity identity, int pidfd)
      : process(identity), ended(loop, pidfd), somebody_waits(loop) {}
  ProcessIdentity process;
  asio::posix::stream_descriptor ended;  // a pidfd
  asio::steady_timer somebody_waits;     // cancelled at the end
  OnExit on_exit;
  bool over = false;
  std::optional<int> exit_status;

  // Only a child of ours tells us its status; an adopted process is somebody else's child.
  void finish() {
    siginfo_t info{};
    if (waitid(P_PID, static_cast<id_t>(process.pid), &info, WEXITED | WNOHANG) == 0 &&
        info.si_pid == process.pid)
      exit_status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    over = true;
    somebody_waits.cancel();
    if (const OnExit call = std::exchange(on_exit, nullptr)) call(exit_status);
  }
};

Containers::Containers(IoContext& loop, const Config& config, std::string host_id)
    : loop_(loop),
      config_(config),
      host_id_(std::move(host_id)),
      docker_(std::make_unique<DockerContainers>(loop, config)) {}
Containers::~Containers() = default;

Result<Cgroup> Containers::cgroup(const std::string& icon_id) const {
  return Cgroup::at("/icon/" + short_id(host_id_) + "/" + short_id(icon_id));
}

Task<Status> Containers::runc(const std::string& icon_id, std::vector<std::string> arguments) {
  const std::string log_path = paths(icon_id).directory + "/runc.log";
  Command command;
  command.argv = {config_.runc,   "--root", config_.runtime_dir + "/runc", "--log", log_path,
                  "--log-format", "json"};
  const std::string what = "runc " + arguments.front();
  for (auto& argument : arguments) command.argv.push_back(std::move(argument));
  command.timeout = kRuncLimit;
  // The container keeps runc's streams; anything but /dev/null could not be checkpointed.
  command.discard_output = true;
  const auto outcome = co_await run_command(std::move(command));
  if (!outcome) {
    if (outcome.error().code == Code::kNotFound)
      co_return fail(Code::kUnavailable,
                     "runc is not installed (apt-get install runc), or `runc` "
                     "in the configuration names no program");
    co_return fail(outcome.error());
  }
  if (!outcome->ok()) co_return fail(Code::kIo, what + ": " + runc_error(log_path));
  co_return Status{};
}

Result<DockerOrder> Containers::docker_order(const std::string& icon_id, const ContainerSpec& spec,
                                             const std::string& netns_path) const {
  ICON_TRY(const auto group, cgroup(icon_id));
  return DockerOrder{icon_id, spec, netns_path, paths(icon_id), group};
}

Task<Result<ProcessIdentity>> Containers::start(const std::string& icon_id) {
  const auto place = paths(icon_id);
  if (DockerContainers::owns(place)) {
    ICON_CO_TRY(const int docker_pid, co_await docker_->start(place));
    ICON_CO_CHECK(note_running(icon_id, docker_pid));
    co_return running_.at(icon_id)->process;
  }
  const std::string pid_file = place.directory + "/pid";
  ICON_CO_TRY(const auto group, cgroup(icon_id));
  std::vector<std::string> create{"create",     "--bundle", place.bundle,
                                  "--pid-file", pid_file,   icon_id};
  ICON_CO_CHECK(co_await runc(icon_id, std::move(create)));
  ICON_CO_TRY(const auto text, read_file(pid_file, kSmallFileMax));
  int pid = 0;
  std::from_chars(text.data(), text.data() + text.size(), pid);
  // Watched before it starts: its end, however early, is not missed.
  ICON_CO_CHECK(note_running(icon_id, pid));
  std::vector<std::string> start{"start", icon_id};
  ICON_CO_CHECK(co_await runc(icon_id, std::move(start)));
  co_return running_.at(icon_id)->process;
}

Status Containers::note_running(const std::string& icon_id, int pid) {
  ICON_TRY(const auto group, cgroup(icon_id));
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) return fail_errno("process " + std::to_string(pid) + " of the container");
  UniqueFd owned(pidfd);
  // Asked after pidfd_open: what we look at is what we hold.
  ICON_TRY(const auto identity, identify_process(pid));
  if (!in_cgroup(pid, group.path()))
    return fail(Code::kNotFound, "process " + std::to_string(pid) + " is not in cgroup " +
                                     group.path() + ": another one has its number now");
  auto entry = std::make_shared<Running>(loop_, identity, owned.release());
  entry->ended.async_wait(asio::posix::descriptor_base::wait_read,
                          [entry](const boost::system::error_code& error) {
                            if (!error) entry->finish();
                          });
  forget(icon_id);
  running_[icon_id] = std::move(entry);
  return {};
}

void Containers::forget(const std::string& icon_id) {
  const auto found = running_.find(icon_id);
  if (found == running_.end()) return;
  boost::system::error_code ignored;
  found->second->ended.close(ignored);
  found->second->somebody_waits.cancel();
  running_.erase(found);
}

std::optional<ProcessIdentity> Containers::running(const std::string& icon_id) const {
  const auto found = running_.find(icon_id);
  if (found == running_.end() || found->second->over) return std::nullopt;
  return found->second->process;
}

bool Containers::awaits(int pid) const {
  return std::any_of(running_.begin(), running_.end(), [pid](const auto& entry) {
    return entry.second->process.pid == pid && !entry.second->over;
  });
}

bool Containers::alive(const std::string& icon_id, const ProcessIdentity& process) const {
  const auto now = identify_process(process.pid);
  const auto group = cgroup(icon_id);
  return now && group && *now == process && in_cgroup(process.pid, group->path());
}

Status Containers::watch(const std::string& icon_id, OnExit on_exit) {
  const auto found = running_.find(icon_id);
  if (found == running_.end())
    return fail(Code::kNotFound, "no container of ICON " + short_id(icon_id) + " runs");
  if (found->second->over) {
    asio::post(loop_, [on_exit = std::move(on_exit), status = found->second->exit_status] {
      on_exit(status);
    });
    return {};
  }
  found->second->on_exit = std::move(on_exit);
  return {};
}

void Containers::unwatch(const std::string& icon_id) {
  const auto found = running_.find(icon_id);
  if (found != running_.end()) found->second->on_exit = nullptr;
}

Task<Status> Containers::freeze(const std::string& icon_id, Millis limit) {
  ICON_CO_TRY(const auto group, cgroup(icon_id));
  co_return co_await group.freeze(limit);
}

Status Containers::thaw(const std::string& icon_id) {
  ICON_TRY(const auto group, cgroup(icon_id));
  return group.thaw();
}

Status Containers::wake(const std::string& icon_id) {
  const auto process = running(icon_id);
  if (!process || !alive(icon_id, *process))
    return fail(Code::kNotFound, "no container of ICON " + short_id(icon_id) + " runs");
  if (::kill(process->pid, SIGUSR1) != 0) return fail_errno("signal the agent");
  return {};
}

Task<Result<std::optional<int>>> Containers::kill(const std::string& icon_id, Millis grace) {
  ICON_CO_TRY(const auto group, cgroup(icon_id));
  unwatch(icon_id);
  const auto found = running_.find(icon_id);
  const auto entry = found == running_.end() ? nullptr : found->second;
  if (group.frozen()) ICON_CO_CHECK(group.thaw());
  if (entry && !entry->over) {
    if (alive(icon_id, entry->process)) ::kill(entry->process.pid, SIGTERM);
    entry->somebody_waits.expires_after(grace);
    co_await entry->somebody_waits.async_wait(kNoThrow);
  }
  ICON_CO_CHECK(co_await group.kill_all());
  if (entry && !entry->over) entry->finish();
  co_return entry ? entry->exit_status : std::nullopt;
}

Task<Status> Containers::release_processes(const std::string& icon_id) {
  Status first;
  const auto note = [&](Status status) {
    if (!status && first) first = std::move(status);
  };
  ICON_CO_TRY(const auto group, cgroup(icon_id));
  note(co_await group.kill_all());
  if (const auto found = running_.find(icon_id); found != running_.end()) {
    found->second->on_exit = nullptr;
    if (!found->second->over) found->second->finish();
    forget(icon_id);
  }
  std::error_code error;
  std::vector<std::string> remove{"delete", "--force", icon_id};
  if (std::filesystem::exists(config_.runtime_dir + "/runc/" + icon_id, error))
    note(co_await runc(icon_id, std::move(remove)));
  note(co_await group.remove());
  note(unmount_root(icon_id));
  co_return first;
}

Task<Status> Containers::destroy(const std::string& icon_id) {
  const std::string id = icon_id;  // the caller's row may go meanwhile
  auto done = co_await try_to_destroy(id);
  if (done)
    left_over_.erase(id);
  else
    left_over_.insert(id);
  co_return done;
}

Task<void> Containers::clear_left_over() {
  if (std::exchange(is_clearing_, true)) co_return;
  const auto left = left_over_;
  for (const auto& id : left) {
    const auto done = co_await destroy(id);
    if (done) log::info("container.cleared_late", {{"icon", id}});
  }
  is_clearing_ = false;
}

Task<Status> Containers::try_to_destroy(const std::string& icon_id) {
  auto first = co_await release_processes(icon_id);
  remove_keys(icon_id);
  if (auto removed = co_await docker_->remove(icon_id, paths(icon_id)); !removed && first)
    first = std::move(removed);
  if (auto unmounted = unmount_image(image_mount(icon_id)); !unmounted && first)
    first = std::move(unmounted);
  // A mount that stayed keeps the directory: removing would go into what is mounted.
  if (root_mounted(icon_id)) co_return first;
  if (auto removed = remove_later(config_.state_dir, paths(icon_id).directory); !removed && first)
    first = std::move(removed);
  co_return first;
}

}  // namespace icon::supervisor
