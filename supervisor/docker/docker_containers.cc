#include "supervisor/docker/docker_containers.h"

#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/serialize.hpp>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "base/log.h"
#include "base/socket_path.h"
#include "supervisor/cgroup.h"
#include "supervisor/config.h"
#include "supervisor/container.h"
#include "supervisor/docker/shell_order.h"
#include "supervisor/oci_config.h"

namespace icon::supervisor {
namespace {

namespace asio = boost::asio;
using boost::asio::experimental::awaitable_operators::operator||;
using LocalSocket = asio::local::stream_protocol::socket;

constexpr Millis kStartLimit{60'000};
constexpr Millis kReadyLimit{30'000};
constexpr Millis kEndLimit{5'000};  // for Docker to see an end that we have seen
// A start that waits for its restore ends with the move.
constexpr Millis kShellLimit{24 * 3600'000};
constexpr const char* kEmptyImage = "icon-own-root";  // of containers without an image here
constexpr const char* kPlaceholder = "/placeholder";

// What Docker shows of the ICON and uses for `docker exec`; the rest is in our bundle.
json::Object container_of(const DockerOrder& order) {
  const ContainerSpec& spec = order.spec;
  json::Array env;
  for (const auto& variable : spec.env) env.emplace_back(variable);
  json::Array command;
  for (const auto& word : spec.command) command.emplace_back(word);
  json::Object host{
      {"Runtime", "icon"},
      {"NetworkMode", "none"},
      {"SecurityOpt", json::Array{"no-new-privileges"}},
      {"CapDrop", json::Array{"AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP", "SETPCAP"}},
      {"Mounts", json::Array{json::Object{
                     {"Type", "bind"}, {"Source", order.place.run}, {"Target", kRunMountpoint}}}}};
  return {{"Image", spec.image.empty() ? std::string(kEmptyImage) : spec.image},
          {"Hostname", spec.hostname.empty() ? spec.name : spec.hostname},
          {"User", std::to_string(spec.uid) + ":" + std::to_string(spec.gid)},
          {"WorkingDir", spec.cwd},
          {"Env", std::move(env)},
          {"Entrypoint", json::Array{kAgentPath, "--"}},
          {"Cmd", std::move(command)},
          {"Labels", json::Object{{kIconLabel, order.icon_id}, {"icon.name", spec.name}}},
          {"HostConfig", std::move(host)}};
}

Status copy_placeholder(const std::string& program, const std::string& to) {
  std::error_code error;
  std::filesystem::copy_file(program, to, error);
  if (error) return fail(Code::kIo, "copy " + program + " to " + to + ": " + error.message());
  return {};
}

Result<asio::local::stream_protocol::acceptor> listen(IoContext& loop, const std::string& path) {
  ICON_TRY(const auto place, SocketPath::of(path));
  asio::local::stream_protocol::acceptor acceptor(loop);
  boost::system::error_code error;
  unlink(path.c_str());
  acceptor.open(asio::local::stream_protocol(), error);
  if (!error) acceptor.bind(asio::local::stream_protocol::endpoint(place.text), error);
  if (!error) acceptor.listen(1, error);
  if (error) return fail(Code::kIo, "listen on " + path + ": " + error.message());
  return acceptor;
}

// A start in the background: how it ended, for who waits for it.
struct Starting {
  explicit Starting(IoContext& loop) : ended(loop, asio::steady_timer::time_point::max()) {}
  asio::steady_timer ended;  // cancelled at the end
  Status status;
};

}  // namespace

DockerContainers::DockerContainers(IoContext& loop, const Config& config)
    : loop_(loop), config_(config), engine_(loop, config.docker_socket) {}

bool DockerContainers::owns(const ContainerPaths& place) {
  return access((place.directory + kShellOrderFile).c_str(), F_OK) == 0;
}

Task<Status> DockerContainers::create(const DockerOrder& order, bool restore) {
  ICON_CO_CHECK(co_await engine_.check_runtime());
  if (order.spec.image.empty()) ICON_CO_CHECK(co_await engine_.make_empty_image(kEmptyImage));
  // Without its id yet: whoever finds this after a crash looks for the label.
  ICON_CO_CHECK(write_order(order, "", restore));
  auto body = container_of(order);
  auto made = co_await engine_.create_container(order.spec.name, body);
  // Taken, or not a name by Docker's rules.
  if (!made && (made.error().code == Code::kConflict || made.error().code == Code::kInvalid)) {
    const std::string other_name = order.spec.name + "-" + short_id(order.icon_id);
    made = co_await engine_.create_container(other_name, std::move(body));
  }
  if (made) co_return write_order(order, *made, restore);
  // Refused: there is none. Otherwise nobody knows.
  if (made.error().code != Code::kTimeout && made.error().code != Code::kIo)
    unlink((order.place.directory + kShellOrderFile).c_str());
  co_return fail(made.error());
}

Status DockerContainers::write_order(const DockerOrder& order, std::string container,
                                     bool restore) const {
  ShellOrder shell;
  shell.container = std::move(container);
  shell.restore = restore;
  shell.runc = config_.runc;
  shell.rootfs = order.place.rootfs;
  for (const auto& directory : order.cgroup.directories())
    shell.cgroup_procs_files.push_back(directory + "/cgroup.procs");
  return shell.write(order.place.directory);
}

Status DockerContainers::leave_order(const DockerOrder& order, std::string container) const {
  return write_order(order, std::move(container), /*restore=*/false);
}

Task<Status> DockerContainers::make(DockerOrder order) {
  co_return co_await create(order, /*restore=*/false);
}

Task<Result<int>> DockerContainers::start(const ContainerPaths& place) {
  ICON_CO_TRY(const auto shell, ShellOrder::read(place.directory));
  ICON_CO_CHECK(co_await engine_.start_container(shell.container, kStartLimit));
  co_return co_await engine_.container_pid(shell.container);
}

Task<std::optional<int>> DockerContainers::exit_status(ContainerPaths place) {
  if (!owns(place)) co_return std::nullopt;
  const auto shell = ShellOrder::read(place.directory);
  if (!shell || shell->container.empty()) co_return std::nullopt;
  const auto status = co_await engine_.exit_status(shell->container, kEndLimit);
  if (!status) co_return std::nullopt;
  co_return *status;
}

// As the ICON's own, but for a root that holds one program, which never runs: runc wants one.
Status DockerContainers::write_shell_bundle(const DockerOrder& order) const {
  const std::string bundle = order.place.directory + kShellBundle;
  ICON_CHECK(make_directories(bundle + "/rootfs"));
  ICON_CHECK(copy_placeholder(config_.criu_hold_binary, bundle + "/rootfs" + kPlaceholder));
  auto config = oci_config(
      order.spec, {bundle + "/rootfs", order.place.run, order.netns_path, order.cgroup.path()});
  auto& process = config["process"].as_object();
  process["args"] = json::Array{kPlaceholder};
  process["cwd"] = "/";
  return write_file_atomic(bundle + "/config.json", boost::json::serialize(config), 0600);
}

Task<Result<std::unique_ptr<DockerShell>>> DockerContainers::open_shell(DockerOrder order) {
  const auto& place = order.place;
  ICON_CO_CHECK(write_shell_bundle(order));
  const std::string link = place.directory + kLauncherLink;
  if (symlink(config_.runc_binary.c_str(), link.c_str()) != 0) co_return fail_errno("make " + link);
  ICON_CO_TRY(auto acceptor, listen(loop_, place.directory + kShellSocket));
  ICON_CO_CHECK(co_await create(order, /*restore=*/true));
  ICON_CO_TRY(const auto shell, ShellOrder::read(place.directory));

  auto starting = std::make_shared<Starting>(loop_);
  auto start = [this, starting, container = shell.container,
                icon_id = order.icon_id]() -> Task<void> {
    starting->status = co_await engine_.start_container(container, kShellLimit);
    starting->ended.cancel();
    if (!starting->status)
      log::warn("docker.start", {{"icon", icon_id}, {"error", starting->status.error().message}});
  };
  asio::co_spawn(loop_, std::move(start), [](std::exception_ptr) {});

  LocalSocket icon_runc(loop_);
  asio::steady_timer limit(loop_, kReadyLimit);
  boost::system::error_code ended;
  const auto which =
      co_await (acceptor.async_accept(icon_runc, asio::use_awaitable) ||
                starting->ended.async_wait(asio::redirect_error(asio::use_awaitable, ended)) ||
                limit.async_wait(asio::use_awaitable));
  if (which.index() == 1)
    co_return starting->status ? fail(Code::kIo,
                                      "Docker started the container without us: is its "
                                      "runtime 'icon' really icon-runc?")
                               : fail(starting->status.error());
  if (which.index() == 2)
    co_return fail(Code::kTimeout, "Docker did not start the container's place in time");
  char ready[8] = {};
  boost::system::error_code error;
  co_await asio::async_read(icon_runc, asio::buffer(ready, std::strlen(kReadyLine)),
                            asio::redirect_error(asio::use_awaitable, error));
  if (error || std::strcmp(ready, kReadyLine) != 0)
    co_return fail(Code::kIo, "icon-runc did not become ready");
  migration::CriuOptions criu{config_.criu, config_.criu_hold_binary, link};
  co_return std::make_unique<DockerShell>(std::move(icon_runc), std::move(criu));
}

Task<Status> DockerContainers::remove(std::string icon_id, const ContainerPaths& place) {
  auto shell = ShellOrder::read(place.directory);
  if (!shell && shell.error().code == Code::kNotFound) co_return Status{};
  if (!shell) co_return fail(shell.error());
  if (shell->container.empty()) {
    ICON_CO_TRY(shell->container, co_await engine_.find_container(icon_id));
    if (shell->container.empty()) co_return Status{};
  }
  auto removed = co_await engine_.remove_container(shell->container);
  if (!removed && make_directories(left_over_directory(), 0700))
    (void)write_file_atomic(left_over_directory() + "/" + shell->container, icon_id, 0600);
  co_return removed;
}

std::string DockerContainers::left_over_directory() const {
  return config_.state_dir + "/docker-left-over";
}

Task<void> DockerContainers::remove_left_over() {
  std::error_code error;
  std::vector<std::string> containers;
  for (const auto& entry : std::filesystem::directory_iterator(left_over_directory(), error))
    if (entry.path().filename().string().find('.') == std::string::npos)
      containers.push_back(entry.path().filename());
  for (const auto& container : containers) {
    const auto removed = co_await engine_.remove_container(container);
    if (removed)
      unlink((left_over_directory() + "/" + container).c_str());
    else
      log::warn("docker.left_over",
                {{"container", container.substr(0, 12)}, {"error", removed.error().message}});
  }
}

}  // namespace icon::supervisor
