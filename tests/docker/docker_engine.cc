#include "tests/docker/docker_engine.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "base/fd.h"
#include "base/file.h"
#include "tests/eventually.h"

namespace icon::test {
namespace {

constexpr Millis kStartMax{30'000};
constexpr Millis kStopMax{20'000};
constexpr Millis kClientMax{90'000};
constexpr Millis kSaidMax{20'000};
constexpr std::string_view kNamePrefix = "icdk-";
constexpr std::size_t kMountinfoMax = 16 << 20;
constexpr std::size_t kLogMax = 4 << 20;
// dockerd and containerd make these for plug-ins, wherever their own directories are.
constexpr const char* kMachineDirectories[] = {"/run/docker/plugins", "/run/docker",
                                               "/opt/containerd/bin", "/opt/containerd/lib",
                                               "/opt/containerd"};

// Where dockerd says READY, as it does to systemd.
Result<UniqueFd> notify_socket(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(Code::kInvalid, path + " is too long");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (!fd || bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("bind " + path);
  return fd;
}

bool says_ready(int fd) {
  char text[256];
  const ssize_t count = recv(fd, text, sizeof text, 0);
  return count > 0 && std::string_view(text, static_cast<std::size_t>(count)).find("READY=1") !=
                          std::string_view::npos;
}

std::vector<std::string> mounts_below(const std::string& directory) {
  std::vector<std::string> found;
  std::istringstream lines(read_file("/proc/self/mountinfo", kMountinfoMax).value_or(""));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string field;
    for (int i = 0; i < 5; ++i) fields >> field;
    if (field.starts_with(directory + "/")) found.push_back(field);
  }
  return found;
}

// Processes whose command line names the directory: the engine's, its containerd's and shims'.
std::vector<int> processes_of(const std::string& directory) {
  std::vector<int> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto words = read_file(entry.path().string() + "/cmdline", kLogMax);
    if (words && words->find(directory) != std::string::npos && std::stoi(name) != getpid())
      found.push_back(std::stoi(name));
  }
  return found;
}

std::string directory_of(const std::string& name) { return "/tmp/" + name; }

// Whatever an engine of that name left, ended in order or not; what is wrong with that, or nothing.
std::string clean(const std::string& name) {
  const std::string directory = directory_of(name);
  // A killed engine's containerd and shims; their names are in nobody else's command line.
  for (const int pid : processes_of(directory)) ::kill(pid, SIGKILL);
  eventually([&] { return processes_of(directory).empty(); });
  auto mounts = mounts_below(directory);
  std::reverse(mounts.begin(), mounts.end());
  for (const auto& mount : mounts) umount2(mount.c_str(), MNT_DETACH);
  std::error_code error;
  for (const auto& hierarchy : std::filesystem::directory_iterator("/sys/fs/cgroup", error))
    ::rmdir((hierarchy.path().string() + "/" + name).c_str());
  ::rmdir(("/sys/fs/cgroup/" + name).c_str());  // where there is one hierarchy
  std::filesystem::remove_all(directory, error);
  for (const char* path : kMachineDirectories) ::rmdir(path);  // only while they are empty
  return error ? directory + ": " + error.message() : "";
}

// What tests left that were killed: the number of a test's process is in the name.
void clean_after_the_dead() {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/tmp", error)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kNamePrefix)) continue;
    const std::string pid = name.substr(kNamePrefix.size(), name.size() - kNamePrefix.size() - 1);
    if (!std::filesystem::exists("/proc/" + pid)) clean(name);
  }
}

}  // namespace

std::string image_context(const std::string& name) { return ICON_IMAGES_DIR "/" + name; }

DockerEngine::DockerEngine(const std::string& name)
    : name_(std::string(kNamePrefix) + std::to_string(getpid()) + name),
      directory_(directory_of(name_)) {
  clean_after_the_dead();
  std::filesystem::create_directories(directory_ + "/client");
}

DockerEngine::~DockerEngine() { stop(); }

void DockerEngine::add_runtime(const std::string& name, const std::string& path,
                               const std::vector<std::string>& arguments) {
  runtimes_[name] = boost::json::object{
      {"path", path}, {"runtimeArgs", boost::json::array(arguments.begin(), arguments.end())}};
}

Status DockerEngine::start() {
  ICON_TRY(const auto ready, notify_socket(directory_ + "/ready"));
  const boost::json::object config{{"deprecated-key-path", directory_ + "/key.json"},
                                   {"runtimes", runtimes_}};
  ICON_CHECK(write_file_atomic(directory_ + "/daemon.json", boost::json::serialize(config), 0644));
  ChildProcess::Options options;
  options.argv = {"dockerd",
                  "--config-file=" + directory_ + "/daemon.json",
                  "--data-root=" + directory_ + "/data",
                  "--exec-root=" + directory_ + "/exec",
                  "--pidfile=" + directory_ + "/pid",
                  "--host=unix://" + socket(),
                  "--cgroup-parent=" + cgroup(),
                  "--bridge=none",
                  "--iptables=false",
                  "--ip6tables=false",
                  "--ip-forward=false",
                  "--shutdown-timeout=2"};
  const UniqueFd log(open((directory_ + "/log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  options.output_fd = log.get();
  options.error_fd = log.get();
  // Where its containerd puts the stacks that it shows when it is stopped.
  options.extra_environment = {"NOTIFY_SOCKET=" + directory_ + "/ready", "TMPDIR=" + directory_};
  options.grace = kStopMax;
  ICON_TRY(auto daemon, ChildProcess::start(std::move(options)));
  daemon_.emplace(std::move(daemon));
  const auto deadline = std::chrono::steady_clock::now() + kStartMax;
  pollfd waits[] = {{ready.get(), POLLIN, 0}, {daemon_->pidfd(), POLLIN, 0}};
  for (;;) {
    const auto left =
        std::chrono::duration_cast<Millis>(deadline - std::chrono::steady_clock::now());
    const int count = left.count() > 0 ? poll(waits, 2, static_cast<int>(left.count())) : 0;
    if (count > 0 && waits[1].revents == 0 && !says_ready(ready.get())) continue;
    if (count > 0 && waits[1].revents == 0) return {};
    const auto words = read_file(directory_ + "/log", kLogMax).value_or("");
    return fail(count > 0 ? Code::kIo : Code::kTimeout,
                "dockerd did not start: " +
                    words.substr(words.size() - std::min<std::size_t>(words.size(), 2000)));
  }
}

std::string DockerEngine::stop() {
  std::string wrong;
  if (daemon_) {
    std::istringstream ids(docker({"ps", "-aq"}).output);
    std::vector<std::string> remove{"rm", "--force", "--volumes"};
    for (std::string id; ids >> id;) remove.push_back(id);
    if (remove.size() > 3) {
      const auto removed = docker(remove);
      if (!removed.ok()) wrong = removed.error_output;
    }
    daemon_->stop();
    daemon_.reset();
  }
  if (const auto left = clean(name_); wrong.empty()) wrong = left;
  return wrong;
}

std::string DockerEngine::remains() const {
  std::string text;
  for (const int pid : processes_of(directory_)) text += "process " + std::to_string(pid) + "\n";
  for (const auto& mount : mounts_below(directory_)) text += "mount " + mount + "\n";
  std::error_code error;
  for (const auto& hierarchy : std::filesystem::directory_iterator("/sys/fs/cgroup", error))
    if (const auto path = hierarchy.path().string() + cgroup(); std::filesystem::exists(path))
      text += "cgroup " + path + "\n";
  if (std::filesystem::exists(directory_)) text += "directory " + directory_ + "\n";
  return text;
}

CommandOutcome DockerEngine::docker(std::vector<std::string> arguments, std::string input) const {
  Command command;
  command.argv = {"docker", "--host=unix://" + socket(), "--config=" + directory_ + "/client"};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.input = std::move(input);
  command.timeout = kClientMax;
  // Without BuildKit: that is a plug-in which Debian's engine does not have. The client may be
  // newer than the engine; they agree on a version by themselves.
  command.extra_environment = {"DOCKER_BUILDKIT=0", "DOCKER_CLI_HINTS=false"};
  const auto outcome = run_command_blocking(std::move(command));
  return outcome ? *outcome : CommandOutcome{-1, "", outcome.error().message};
}

std::string DockerEngine::ask(std::vector<std::string> arguments) const {
  const auto outcome = docker(arguments);
  EXPECT_TRUE(outcome.ok()) << "docker " << arguments.front() << ": " << outcome.error_output;
  std::string text = outcome.output;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

bool DockerEngine::said(const std::string& container, const std::string& text) const {
  return eventually(
      [&] {
        const auto logs = docker({"logs", container});
        return (logs.output + logs.error_output).find(text) != std::string::npos;
      },
      kSaidMax);
}

}  // namespace icon::test
