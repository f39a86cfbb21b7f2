#include "stub/stub_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <utility>

#include "base/file.h"
#include "base/http_client.h"

namespace icon::stub {
namespace {

constexpr int kControlFd = 3;
constexpr int kListenFd = 4;
constexpr int kBacklog = 1024;
constexpr Millis kGrace{500};
constexpr std::size_t kStatusBytesMax = 64 << 10;
constexpr std::int64_t kPidMax = 1 << 22;

std::string socket_path(const StubOptions& options) { return options.run_directory + "/stub.sock"; }
std::string pid_path(const StubOptions& options) { return options.run_directory + "/stub.pid"; }

Result<UniqueFd> bind_control(const std::string& path) {
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path)
    return fail(Code::kInvalid, "socket path too long: " + path);
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("socket");
  unlink(path.c_str());
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("bind " + path);
  // Nobody can connect before listen(), so the mode is never too wide.
  if (chmod(path.c_str(), 0600) != 0 || listen(fd.get(), kBacklog) != 0)
    return fail_errno("listen on " + path);
  return fd;
}

Result<UniqueFd> bind_listener(const Endpoint& endpoint) {
  sockaddr_storage address{};
  const auto length = endpoint.address.to_sockaddr(endpoint.port, address);
  UniqueFd fd(socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("socket");
  const int on = 1;
  if (setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      listen(fd.get(), kBacklog) != 0)
    return fail_errno("listen on " + endpoint.to_string());
  return fd;
}

struct StubState {
  int pid = -1;
  std::uint16_t port = 0;
  StubStatistics statistics;
};

Result<StubState> parse_state(std::string_view body) {
  ICON_TRY(const auto object, json::parse_object(body, kStatusBytesMax));
  ICON_TRY(const auto pid, json::get_int(object, "pid", 1, kPidMax));
  ICON_TRY(const auto port, json::get_int(object, "port", 1, 65535));
  ICON_TRY(const auto* statistics, json::get_object(object, "statistics"));
  StubState state{static_cast<int>(pid), static_cast<std::uint16_t>(port), {}};
  ICON_TRY(state.statistics, StubStatistics::from_json(*statistics));
  return state;
}

Task<Result<std::string>> call(const StubOptions& options, std::string method, std::string target,
                               std::string body) {
  http::UnixRequest request;
  request.socket_path = socket_path(options);
  request.method = std::move(method);
  request.target = std::move(target);
  request.body = std::move(body);
  request.timeout = options.timeout;
  ICON_CO_TRY(const auto response, co_await http::request(std::move(request)));
  co_return http::body_or_error(response);
}

Task<Result<StubState>> get_state(const StubOptions& options) {
  ICON_CO_TRY(const auto body, co_await call(options, "GET", "/v1/status", ""));
  co_return parse_state(body);
}

Result<UniqueFd> open_pidfd(int pid) {
  UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!fd) return fail_errno("open the stub process " + std::to_string(pid));
  return fd;
}

bool has_ended(const UniqueFd& pidfd, Millis limit) {
  pollfd ended{pidfd.get(), POLLIN, 0};
  return poll(&ended, 1, static_cast<int>(limit.count())) > 0;
}

}  // namespace

Task<Result<StubProcess>> StubProcess::start(StubOptions options) {
  if (const auto state = co_await get_state(options))
    co_return fail(Code::kConflict, "a stub process (pid " + std::to_string(state->pid) +
                                        ") already runs in " + options.run_directory);
  StubProcess process;
  {
    ICON_CO_TRY(UniqueFd control, bind_control(socket_path(options)));
    ICON_CO_TRY(UniqueFd listener, bind_listener(options.listen));
    ChildProcess::Options child;
    child.argv = {options.program, "--control-fd", std::to_string(kControlFd), "--listen-fd",
                  std::to_string(kListenFd)};
    if (!options.log_path.empty()) {
      child.argv.push_back("--log");
      child.argv.push_back(options.log_path);
    }
    child.inherit = {{control.get(), kControlFd}, {listener.get(), kListenFd}};
    child.die_with_parent = false;
    child.new_session = true;
    child.grace = kGrace;
    ICON_CO_TRY(process.child_, ChildProcess::start(std::move(child)));
  }  // our copies of the sockets close here: if the process dies, callers are refused at once
  process.options_ = std::move(options);
  process.pid_ = process.child_->pid();
  const auto pidfd = open_pidfd(process.pid_);
  auto state = co_await get_state(process.options_);
  if (!pidfd || !state) {
    process.child_->stop();
    unlink(socket_path(process.options_).c_str());
    co_return fail(Code::kIo, "the stub process ended at its start: " +
                                  (pidfd ? state.error() : pidfd.error()).message);
  }
  process.pidfd_ = UniqueFd(dup(pidfd->get()));
  process.port_ = state->port;
  if (const auto written =
          write_file_atomic(pid_path(process.options_), std::to_string(process.pid_) + "\n", 0644);
      !written) {
    process.stop();
    co_return fail(written.error());
  }
  co_return process;
}

Task<Result<StubProcess>> StubProcess::adopt(StubOptions options) {
  const auto first = co_await get_state(options);
  // A process that is there but does not answer is not "not found": starting a second one beside it
  // would leave the first without an owner.
  if (!first && first.error().code == Code::kTimeout) co_return fail(first.error());
  if (!first)
    co_return fail(Code::kNotFound, "no stub process runs in " + options.run_directory + ": " +
                                        first.error().message);
  StubProcess process;
  process.options_ = std::move(options);
  process.pid_ = first->pid;
  process.port_ = first->port;
  ICON_CO_TRY(process.pidfd_, open_pidfd(first->pid));
  // Answering once more proves that the pid was still its own when it was opened.
  ICON_CO_CHECK((co_await get_state(process.options_)).map([](const StubState&) {}));
  co_return process;
}

Task<Result<StubProcess>> StubProcess::adopt_or_start(StubOptions options) {
  auto adopted = co_await adopt(options);
  if (adopted || adopted.error().code != Code::kNotFound) co_return adopted;
  co_return co_await start(std::move(options));
}

StubProcess& StubProcess::operator=(StubProcess&& other) noexcept {
  if (this != &other) {
    if (child_) child_->release();
    options_ = std::move(other.options_);
    child_ = std::move(other.child_);
    pidfd_ = std::move(other.pidfd_);
    pid_ = other.pid_;
    port_ = other.port_;
  }
  return *this;
}

StubProcess::~StubProcess() {
  if (child_) child_->release();
}

bool StubProcess::running() const { return pidfd_ && !has_ended(pidfd_, Millis(0)); }

Task<Status> StubProcess::set_routes(std::vector<Route> routes) {
  ICON_CO_TRY(const auto table, RouteTable::from_routes(routes));
  auto answered =
      co_await call(options_, "PUT", "/v1/routes", boost::json::serialize(table.to_json()));
  if (!answered) co_return fail(answered.error());
  co_return Status{};
}

Task<Result<StubStatistics>> StubProcess::statistics() {
  ICON_CO_TRY(const auto state, co_await get_state(options_));
  co_return state.statistics;
}

void StubProcess::stop() {
  if (!pidfd_) return;
  syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGTERM, nullptr, 0);
  if (!has_ended(pidfd_, kGrace)) {
    syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
    has_ended(pidfd_, kGrace);
  }
  if (child_) child_->wait(kGrace);  // reaps
  pidfd_.reset();
  unlink(socket_path(options_).c_str());
  unlink(pid_path(options_).c_str());
}

}  // namespace icon::stub
