// icon-runc: the OCI runtime that Docker is told to use for ICONs ("runtimes": {"icon": {"path":
// ".../icon-runc"}}). It is runc, but for one thing: where the supervisor has left an order
// (shell_order.h), `create` makes the ICON that the supervisor prepared, or restores one that
// arrived. Docker's shim stays the parent of the process, so logs, exec, stop and exit codes work.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "supervisor/docker/log_pump.h"
#include "supervisor/docker/oci_arguments.h"
#include "supervisor/docker/restore_launcher.h"
#include "supervisor/docker/restore_shell.h"
#include "supervisor/docker/runc_state.h"
#include "supervisor/docker/shell_order.h"
#include "supervisor/docker/supervisor_call.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kConfigBytesMax = 4 << 20;
constexpr std::size_t kMountsMax = 1024;
constexpr std::size_t kPathBytesMax = 4096;
constexpr const char* kRunMountpoint = "/run/icon";
constexpr const char* kSocketOption = "--icon-socket";

// Becomes runc. Returns when there is none.
Status become_runc(const std::string& runc, const OciArguments& arguments) {
  std::vector<std::string> words = arguments.all();
  words.insert(words.begin(), runc);
  std::vector<char*> pointers;
  for (auto& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  execvp(pointers[0], pointers.data());
  return fail_errno("run " + runc);
}

// Where the supervisor keeps the ICON that this bundle of Docker's stands for; empty when it stands
// for no ICON. The mount at /run/icon says so: its source is the ICON's run directory.
std::string icon_directory_of(const json::Object& config) {
  const auto mounts = json::get_array(config, "mounts", kMountsMax);
  if (!mounts) return {};
  for (const auto& mount : **mounts) {
    if (!mount.is_object()) continue;
    const auto target = json::get_string(mount.get_object(), "destination", kPathBytesMax);
    const auto source = json::get_string(mount.get_object(), "source", kPathBytesMax);
    if (target && source && *target == kRunMountpoint)
      return std::filesystem::path(*source).parent_path().string();
  }
  return {};
}

// The shim shows the last error of the log that it named.
void report(const OciArguments& arguments, const Error& error) {
  std::fprintf(stderr, "icon-runc: %s\n", error.message.c_str());
  const std::string path = arguments.global_option("--log");
  if (path.empty()) return;
  char time[32];
  const std::time_t now = std::time(nullptr);
  std::strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  std::ofstream(path, std::ios::app)
      << boost::json::serialize(
             json::Object{{"level", "error"}, {"msg", "icon: " + error.message}, {"time", time}})
      << "\n";
}

// In the background, with our standard output, which is Docker's log, until PID 1 ends.
void start_log_pump(const std::string& icon_directory, int init_pid) {
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, init_pid, 0));
  if (pidfd < 0 || fork() != 0) return;
  setsid();
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(nothing, STDIN_FILENO);
  dup2(nothing, STDERR_FILENO);
  _exit(pump_service_log(icon_directory + "/run", pidfd) ? 0 : 1);
}

Result<int> make_new(const std::string& icon_directory, const ShellOrder& order,
                     OciArguments arguments) {
  arguments.set_option("--bundle", icon_directory + "/bundle");
  arguments.set_option("-b", icon_directory + "/bundle");
  Command command;
  command.argv = arguments.all();
  command.argv.insert(command.argv.begin(), order.runc);
  // Its standard streams stay with the container and must not hold ours: /dev/null.
  command.discard_output = true;
  ICON_TRY(const auto outcome, run_command_blocking(std::move(command)));
  if (!outcome.ok()) return fail(Code::kIo, "runc could not make the container");
  const std::string root = arguments.global_option("--root");
  return read_init_pid((root.empty() ? "/run/runc" : root) + "/" + arguments.id());
}

// Carries the order out that lies in `icon_directory`. PID 1.
Result<int> carry_out(const std::string& icon_directory, const ShellOrder& order,
                      const OciArguments& arguments) {
  if (order.container != arguments.id())
    return fail(Code::kConflict, icon_directory + " belongs to container " + order.container);
  if (!arguments.option("--console-socket").empty())
    return fail(Code::kInvalid, "an ICON has no terminal: run it without --tty");
  ICON_TRY(const bool taken, take_order(icon_directory));
  if (!taken)
    return fail(
        Code::kConflict,
        "this ICON has ended or moved and cannot be started again: icon run makes a new one");
  return order.restore ? create_by_restore(icon_directory, order, arguments)
                       : make_new(icon_directory, order, arguments);
}

// `docker run --runtime icon`, with a variable that asks for an ICON.
Result<std::string> begin_icon(const std::string& socket, const std::string& bundle,
                               const OciArguments& arguments) {
  ICON_TRY(const auto icon, ask_for_icon(socket, arguments.id(), bundle));
  ICON_TRY(const auto order, ShellOrder::read(icon.directory));
  ICON_TRY(const int pid, carry_out(icon.directory, order, arguments));
  const auto told = say_it_is_made(socket, icon, pid);
  if (told) {
    start_log_pump(icon.directory, pid);
    return icon.directory;
  }
  OciArguments removal = arguments;
  removal.command = "delete";
  removal.rest = {"--force", arguments.id()};
  Command command;
  command.argv = removal.all();
  command.argv.insert(command.argv.begin(), order.runc);
  (void)run_command_blocking(std::move(command));
  return fail(told.error());
}

// Returns when the container is made or cannot be; becomes runc when this is no ICON.
Status create(const std::string& socket, OciArguments arguments) {
  std::string bundle = arguments.option("--bundle");
  if (bundle.empty()) bundle = arguments.option("-b");
  if (bundle.empty()) bundle = std::filesystem::current_path().string();
  const auto text = read_file(bundle + "/config.json", kConfigBytesMax);
  const auto config =
      text ? json::parse_object(*text, kConfigBytesMax) : Result<json::Object>(fail(text.error()));
  if (!config) return become_runc("runc", arguments);
  const std::string directory = icon_directory_of(*config);
  const auto order = directory.empty() ? Result<ShellOrder>(fail(Code::kNotFound, ""))
                                       : ShellOrder::read(directory);
  const bool asks = wants_to_be_icon(*config);
  if (!order && order.error().code == Code::kNotFound && !asks)
    return become_runc("runc", arguments);
  // Our bundles name cgroups by their paths, whatever Docker's own driver is.
  arguments.drop_flag("--systemd-cgroup");
  if (!order && order.error().code == Code::kNotFound) {
    ICON_TRY(const auto begun, begin_icon(socket, bundle, arguments));
    return {};
  }
  if (!order) return fail(order.error());
  ICON_TRY(const int pid, carry_out(directory, *order, arguments));
  start_log_pump(directory, pid);
  return {};
}

int run(const std::vector<std::string>& arguments) {
  auto call = parse_oci_arguments(arguments);
  std::string socket = call.global_option(kSocketOption);
  call.drop_option(kSocketOption);
  if (socket.empty()) socket = kSupervisorSocket;
  if (call.command == "create") {
    const auto created = create(socket, call);
    if (!created) report(call, created.error());
    return created ? 0 : 1;
  }
  const std::string root = call.global_option("--root");
  if (call.command == "start" &&
      take_adopted_mark((root.empty() ? "/run/runc" : root) + "/" + call.id()))
    return 0;  // a restored tree runs already
  const auto gone = become_runc("runc", call);
  std::fprintf(stderr, "icon-runc: %s\n", gone.error().message.c_str());
  return 127;
}

}  // namespace
}  // namespace icon::supervisor

int main(int argc, char** argv) {
  const std::filesystem::path self(argv[0]);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (self.filename() == "icon-restore")
    return icon::supervisor::launch_restore(self.parent_path(), arguments);
  return icon::supervisor::run(arguments);
}
