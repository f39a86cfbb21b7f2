#include "migration/criu_checkpointer.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <deque>
#include <filesystem>
#include <sstream>

#include "base/file.h"
#include "base/subprocess.h"
#include "migration/criu_parts.h"
#include "migration/memory/memory_tracker.h"

namespace icon::migration {
namespace criu {
namespace {

constexpr std::size_t kLogBytesMax = 64 << 20;

}  // namespace

std::string log_errors(const std::string& path) {
  const auto log = read_file(path, kLogBytesMax);
  const std::string lines = log ? criu_error_lines(*log) : "";
  return lines.empty() ? "no error lines in " + path : lines;
}

void append(std::vector<std::string>& arguments, std::initializer_list<std::string> more) {
  arguments.insert(arguments.end(), more);
}

void clear_after_the_dead() {
  constexpr std::string_view kPrefix = ".criu.mntns.";
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/tmp", error)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kPrefix)) continue;
    int pid = 0;
    const char* const end = name.data() + name.size();
    const auto number = std::from_chars(name.data() + kPrefix.size(), end, pid);
    if (number.ec != std::errc() || number.ptr == end || *number.ptr != '.' || pid <= 0) continue;
    if (::kill(pid, 0) != 0 && errno == ESRCH) rmdir(entry.path().c_str());
  }
}

std::vector<std::string> common_arguments(const std::string& work_dir) {
  std::vector<std::string> arguments{"--tcp-established",
                                     "--network-lock",
                                     "skip",  // the supervisor holds the traffic itself
                                     "--file-locks",
                                     "--manage-cgroups=ignore",
                                     "-v1"};
  const std::string kerndat = work_dir + "/" + kKerndatFile;
  if (access(kerndat.c_str(), R_OK) == 0) append(arguments, {kKerndatCache, kerndat});
  return arguments;
}

std::function<int()> in_netns(std::shared_ptr<const UniqueFd> netns) {
  return [netns = std::move(netns)] { return setns(netns->get(), CLONE_NEWNET); };
}

Result<std::shared_ptr<const UniqueFd>> open_netns(const std::string& path) {
  auto netns = std::make_shared<const UniqueFd>(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!*netns) return fail_errno("network namespace " + path);
  return netns;
}

}  // namespace criu

namespace {

constexpr Millis kDumpTimeout{60'000};
constexpr int kCheckAttempts = 3;
constexpr const char* kLazyHoles = "--lazy-holes";
constexpr const char* kCheckLog = "check.log";
constexpr const char* kDumpLog = "dump.log";

std::uint64_t directory_bytes(const std::string& directory) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error))
    if (entry.is_regular_file(error)) bytes += entry.file_size(error);
  return bytes;
}

// In this thread's effective set: it is what a child of ours keeps across exec as root.
bool has_sys_resource() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
  return syscall(SYS_capget, &header, sets) == 0 &&
         (sets[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective & CAP_TO_MASK(CAP_SYS_RESOURCE)) != 0;
}

}  // namespace

std::string criu_error_lines(const std::string& log, std::size_t lines_max) {
  std::deque<std::string> errors;
  std::istringstream stream(log);
  for (std::string line; std::getline(stream, line);) {
    const auto at = line.find("Error (");
    if (at == std::string::npos) continue;
    errors.push_back(line.substr(at));
    if (errors.size() > lines_max) errors.pop_front();
  }
  std::string text;
  for (const auto& line : errors) text += (text.empty() ? "" : "; ") + line;
  return text;
}

Task<bool> CriuCheckpointer::is_patched() {
  if (is_patched_) co_return *is_patched_;
  Command command;
  command.argv = {options_.criu_path, "--help"};
  const auto help = co_await run_command(std::move(command));
  is_patched_ = help && help->output.find(kLazyHoles) != std::string::npos &&
                help->output.find(criu::kKerndatCache) != std::string::npos;
  co_return *is_patched_;
}

Task<Status> CriuCheckpointer::memory_can_travel_apart() {
  ICON_CO_CHECK(MemoryTracker::available());
  if (!co_await is_patched())
    co_return fail(Code::kUnavailable, options_.criu_path +
                                           " lacks the patches in migration/criu/; `make deps` "
                                           "builds one that has them");
  co_return Status{};
}

Task<bool> CriuCheckpointer::carries_other_users() {
  if (has_sys_resource()) co_return true;
  co_return co_await is_patched();
}

Task<Status> CriuCheckpointer::prepare(std::string work_dir) {
  criu::clear_after_the_dead();
  if (!co_await is_patched()) co_return Status{};
  Command command;
  command.argv = {options_.criu_path,
                  "check",
                  "-W",
                  work_dir,
                  "-o",
                  kCheckLog,
                  criu::kKerndatCache,
                  work_dir + "/" + criu::kKerndatFile};
  // One of its questions (a breakpoint in a child) goes wrong now and then on a busy machine.
  for (int attempt = 1;; ++attempt) {
    Command again = command;
    ICON_CO_TRY(const auto outcome, co_await run_command(std::move(again)));
    if (outcome.ok()) co_return Status{};
    if (attempt == kCheckAttempts)
      co_return fail(Code::kIo, "criu check: " + criu::log_errors(work_dir + "/" + kCheckLog));
  }
}

Task<Result<DumpReport>> CriuCheckpointer::dump(DumpRequest request) {
  const auto start = std::chrono::steady_clock::now();
  ICON_CO_TRY(const auto netns,
              criu::open_netns("/proc/" + std::to_string(request.init_pid) + "/ns/net"));
  Command command;
  command.argv = {options_.criu_path,
                  "dump",
                  "-t",
                  std::to_string(request.init_pid),
                  "-D",
                  request.image_dir,
                  "-W",
                  request.work_dir,
                  "-o",
                  kDumpLog,
                  "--leave-running",
                  "--freeze-cgroup",
                  request.freezer_cgroup,
                  "--skip-in-flight",
                  "--ghost-limit",
                  std::to_string(kNamelessBytesMax)};
  for (const auto& argument : criu::common_arguments(request.work_dir))
    command.argv.push_back(argument);
  for (const auto& mount : request.external_mounts)
    criu::append(command.argv, {"--external", "mnt[" + mount.mountpoint + "]:" + mount.name});
  if (request.memory_apart) command.argv.emplace_back(kLazyHoles);
  command.before_exec = criu::in_netns(netns);
  command.timeout = kDumpTimeout;
  ICON_CO_TRY(const auto outcome, co_await run_command(std::move(command)));
  if (!outcome.ok())
    co_return fail(Code::kIo, "criu dump: " + criu::log_errors(request.work_dir + "/" + kDumpLog));
  co_return DumpReport{
      directory_bytes(request.image_dir),
      std::chrono::duration_cast<Micros>(std::chrono::steady_clock::now() - start)};
}

}  // namespace icon::migration
