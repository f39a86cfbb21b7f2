#include "tests/criu/cage.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/serialize.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/subprocess.h"

namespace icon::migration {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using boost::asio::experimental::awaitable_operators::operator||;

constexpr int kReadyMs = 10'000;

std::string program(const std::string& name) {
  return fs::read_symlink("/proc/self/exe").parent_path() / name;
}

Status must_run(std::vector<std::string> argv) {
  Command command;
  command.argv = std::move(argv);
  return run_checked_blocking(std::move(command));
}

json::Array texts(const std::vector<std::string>& items) {
  json::Array array;
  for (const auto& item : items) array.emplace_back(item);
  return array;
}

json::Object mount_of(const char* point, const char* type, const std::string& source,
                      const std::vector<std::string>& options = {}) {
  return {{"destination", point}, {"type", type}, {"source", source}, {"options", texts(options)}};
}

// All that this machine may give (CAP_SYS_RESOURCE is missing on some): animals are rare.
json::Array capabilities() {
  return texts({"CAP_CHOWN",      "CAP_DAC_OVERRIDE",  "CAP_DAC_READ_SEARCH", "CAP_FOWNER",
                "CAP_KILL",       "CAP_SETGID",        "CAP_SETUID",          "CAP_NET_ADMIN",
                "CAP_NET_RAW",    "CAP_IPC_LOCK",      "CAP_SYS_ADMIN",       "CAP_SYS_CHROOT",
                "CAP_SYS_PTRACE", "CAP_SYS_RAWIO",     "CAP_MKNOD",           "CAP_LEASE",
                "CAP_AUDIT_READ", "CAP_AUDIT_CONTROL", "CAP_SYSLOG",          "CAP_PERFMON",
                "CAP_BPF"});
}

Result<UniqueFd> serve(const std::string& path, int type) {
  UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(Code::kInvalid, path + " is too long");
  std::strcpy(address.sun_path, path.c_str());
  if (!fd || bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("bind " + path);
  if (type != SOCK_DGRAM && listen(fd.get(), 4) != 0) return fail_errno("listen " + path);
  return fd;
}

// Waits for the animal to come, and hands `given` over.
Status hand_over(int listening, const UniqueFd& given) {
  pollfd waiting{listening, POLLIN, 0};
  if (poll(&waiting, 1, kReadyMs) != 1) return fail(Code::kTimeout, "nobody came for the gift");
  const UniqueFd fd(accept4(listening, nullptr, nullptr, SOCK_CLOEXEC));
  char byte = 'x';
  iovec data{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int number = given.get();
  std::memcpy(CMSG_DATA(header), &number, sizeof number);
  if (sendmsg(fd.get(), &message, 0) != 1) return fail_errno("hand a descriptor over");
  return {};
}

// The file `name` in `directory`, once `watch` has seen it arrive there.
Result<std::string> arrived(int watch, const std::string& directory, const std::string& name) {
  for (;;) {
    pollfd waiting{watch, POLLIN, 0};
    if (poll(&waiting, 1, kReadyMs) != 1) return fail(Code::kTimeout, "the animal says nothing");
    alignas(inotify_event) char buffer[4096];
    if (read(watch, buffer, sizeof buffer) < 0) return fail_errno("read inotify");
    if (auto text = read_file(directory + "/" + name, 4096)) return text;
  }
}

Status run_on(IoContext& loop, Task<Status> task) {
  Status outcome;
  loop.restart();
  asio::co_spawn(loop, std::move(task), [&outcome](std::exception_ptr error, Status status) {
    if (error) std::rethrow_exception(error);
    outcome = std::move(status);
  });
  loop.run();
  return outcome;
}

Task<Status> dump_within(CriuCheckpointer& checkpointer, DumpRequest request, Millis limit) {
  asio::steady_timer timer(co_await asio::this_coro::executor, limit);
  auto ended =
      co_await (checkpointer.dump(std::move(request)) || timer.async_wait(asio::use_awaitable));
  if (ended.index() == 1) co_return fail(Code::kTimeout, "the dump did not end");
  ICON_CO_CHECK(std::get<0>(ended));
  co_return Status{};
}

Task<Status> restore_and_release(CriuCheckpointer& checkpointer, RestoreRequest request, int& pid) {
  ICON_CO_TRY(const auto prepared, co_await checkpointer.prepare_restore(std::move(request)));
  ICON_CO_TRY(auto held, co_await prepared->restore());
  ICON_CO_CHECK(co_await held->release());
  pid = held->init_pid();
  co_return Status{};
}

}  // namespace

Result<std::unique_ptr<Cage>> Cage::create(const Options& options) {
  std::unique_ptr<Cage> cage(new Cage);
  ICON_CHECK(cage->set_up(options));
  ICON_CHECK(cage->start(options));
  return cage;
}

Status Cage::make_namespace() {
  ICON_CHECK(must_run({"ip", "netns", "add", tag_}));
  has_namespace_ = true;
  ICON_CHECK(must_run({"ip", "-n", tag_, "link", "set", "lo", "up"}));
  // For the ping socket.
  return must_run({"ip", "netns", "exec", tag_, "sh", "-c",
                   "echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range"});
}

Status Cage::remove_namespace() {
  if (!std::exchange(has_namespace_, false)) return {};
  return must_run({"ip", "netns", "delete", tag_});
}

// Tidies up when this process is ended from outside, and no destructor runs.
Status Cage::start_guard() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe");
  const UniqueFd input(ends[0]);
  guarded_ = UniqueFd(ends[1]);
  constexpr const char* kTidy = R"(
    read -r word
    for group in /sys/fs/cgroup/$1 /sys/fs/cgroup/*/$1; do
      [ -d "$group" ] || continue
      [ ! -e "$group/freezer.state" ] || echo THAWED > "$group/freezer.state"
      for pid in $(cat "$group/cgroup.procs"); do kill -KILL "$pid"; done
    done
    runc --root "$2/runc" delete --force "$1"
    umount -l "$2/images" "$2/root"
    ip netns delete "$1"
    rmdir /sys/fs/cgroup/$1 /sys/fs/cgroup/*/$1
    rm -rf --one-file-system "$2")";
  ChildProcess::Options options;
  options.argv = {"sh", "-c", kTidy, "sh", tag_, base_};
  options.input_fd = input.get();
  options.die_with_parent = false;
  options.new_session = true;
  ICON_TRY(guard_, ChildProcess::start(std::move(options)));
  return {};
}

Status Cage::set_up(const Options& options) {
  char name[] = "/tmp/icon-cage.XXXXXX";
  if (mkdtemp(name) == nullptr) return fail_errno("mkdtemp");
  base_ = name;
  tag_ = "icon-cage-" + base_.substr(base_.rfind('.') + 1);
  ICON_CHECK(start_guard());
  for (const char* directory : {"upper", "work", "root", "run"})
    fs::create_directories(base_ + "/" + directory);
  for (const char* directory : {"proc", "dev", "sys", "tmp", "etc", "run/icon"})
    fs::create_directories(base_ + "/lower/" + directory);
  fs::copy_file(program("zoo"), base_ + "/lower/zoo");
  ICON_CHECK(make_namespace());
  const std::string parts = "lowerdir=" + base_ + "/lower,upperdir=" + base_ +
                            "/upper,workdir=" + base_ + "/work" + options.overlay_options;
  const std::string root = base_ + "/root";
  if (mount("overlay", root.c_str(), "overlay", 0, parts.c_str()) != 0 ||
      mount(nullptr, root.c_str(), nullptr, MS_PRIVATE, nullptr) != 0)
    return fail_errno("mount the root");
  ICON_TRY(images_, supervisor::MemoryDirectory::create(base_ + "/images", 1 << 30));
  fs::create_directory(images_.path() + "/images");
  ICON_TRY(auto cgroup, supervisor::Cgroup::at("/" + tag_));
  cgroup_.emplace(std::move(cgroup));
  checkpointer_ =
      std::make_unique<CriuCheckpointer>(CriuOptions{ICON_CRIU, program("icon-criu-hold")});
  const auto prepare = [this]() -> Task<Status> {
    co_return co_await checkpointer_->prepare(images_.path());
  };
  ICON_CHECK(run_on(loop_, prepare()));
  for (const auto& [file, type] :
       {std::pair("stream.sock", SOCK_STREAM), std::pair("seqpacket.sock", SOCK_SEQPACKET),
        std::pair("datagram.sock", SOCK_DGRAM), std::pair("give.sock", SOCK_STREAM)}) {
    ICON_TRY(auto fd, serve(base_ + "/run/" + file, type));
    sockets_.push_back(std::move(fd));
  }
  return {};
}

json::Object Cage::config(const Options& options) const {
  json::Array mounts{
      mount_of("/proc", "proc", "proc"),
      mount_of("/dev", "tmpfs", "tmpfs", {"nosuid", "mode=755"}),
      mount_of("/dev/pts", "devpts", "devpts", {"newinstance", "ptmxmode=0666", "mode=0620"}),
      mount_of("/dev/shm", "tmpfs", "shm"),
      mount_of("/sys", "sysfs", "sysfs", {"ro"}),
      mount_of("/run/icon", "bind", base_ + "/run", {"bind", "rw"})};
  for (const auto& mount : options.mounts) mounts.push_back(mount);
  json::Array namespaces;
  for (const char* type : {"pid", "ipc", "uts", "mount"})
    namespaces.push_back(json::Object{{"type", type}});
  namespaces.push_back(json::Object{{"type", "network"}, {"path", "/run/netns/" + tag_}});
  const json::Array everything{json::Object{{"allow", true}, {"access", "rwm"}}};
  return {{"ociVersion", "1.0.2"},
          {"process", json::Object{{"user", json::Object{{"uid", 0}, {"gid", 0}}},
                                   {"args", texts({"/zoo", options.animal})},
                                   {"env", texts({"PATH=/"})},
                                   {"cwd", "/"},
                                   {"capabilities", json::Object{{"bounding", capabilities()},
                                                                 {"effective", capabilities()},
                                                                 {"permitted", capabilities()}}}}},
          {"root", json::Object{{"path", base_ + "/root"}}},
          {"mounts", mounts},
          {"linux", json::Object{{"cgroupsPath", "/" + tag_},
                                 {"namespaces", namespaces},
                                 {"resources", json::Object{{"devices", everything}}}}}};
}

Command Cage::runc(std::vector<std::string> arguments) const {
  Command command;
  command.argv = {"runc", "--root", base_ + "/runc"};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.discard_output = true;
  return command;
}

Status Cage::start(const Options& options) {
  std::ofstream(base_ + "/config.json") << boost::json::serialize(config(options));
  const UniqueFd watch(inotify_init1(IN_CLOEXEC));
  const std::string run = base_ + "/run";
  if (inotify_add_watch(watch.get(), run.c_str(), IN_MOVED_TO) < 0) return fail_errno("watch");
  ICON_CHECK(run_checked_blocking(
      runc({"run", "--detach", "--bundle", base_, "--pid-file", base_ + "/pid", tag_})));
  ICON_TRY(const auto pid, read_file(base_ + "/pid", 32));
  pid_ = std::stoi(pid);
  if (options.give) {
    const UniqueFd gift = options.give();
    if (!gift) return fail_errno("the gift");
    ICON_CHECK(hand_over(sockets_.back().get(), gift));
  }
  ICON_TRY(const auto said, arrived(watch.get(), run, "ready"));
  if (said != "ok") return fail(Code::kUnavailable, said);
  return {};
}

UniqueFd Cage::accept() const {
  return UniqueFd(accept4(sockets_.front().get(), nullptr, nullptr, SOCK_CLOEXEC));
}

Status Cage::freeze() {
  const auto freeze = [this]() -> Task<Status> { co_return co_await cgroup_->freeze(); };
  return run_on(loop_, freeze());
}

Status Cage::run(Task<Status> task) { return run_on(loop_, std::move(task)); }

DumpRequest Cage::dump_request() const {
  DumpRequest request;
  request.init_pid = pid_;
  request.image_dir = images_.path() + "/images";
  request.work_dir = images_.path();
  request.freezer_cgroup = cgroup_->freezer_directory();
  request.external_mounts = {{"/run/icon", "iconrun", base_ + "/run"}};
  return request;
}

RestoreRequest Cage::restore_request() const {
  RestoreRequest request;
  request.image_dir = images_.path() + "/images";
  request.work_dir = images_.path();
  request.root = base_ + "/root";
  request.netns_path = "/run/netns/" + tag_;
  for (const auto& directory : cgroup_->directories())
    request.cgroup_procs_files.push_back(directory + "/cgroup.procs");
  request.external_mounts = {{"/run/icon", "iconrun", base_ + "/run"}};
  return request;
}

Status Cage::dump(Millis limit) {
  ICON_CHECK(freeze());
  return run_on(loop_, dump_within(*checkpointer_, dump_request(), limit));
}

Status Cage::restore() {
  const auto kill = [this]() -> Task<Status> { co_return co_await cgroup_->kill_all(); };
  ICON_CHECK(run_on(loop_, kill()));
  // At the destination nothing remembers the old connections.
  ICON_CHECK(remove_namespace());
  ICON_CHECK(make_namespace());
  return run_on(loop_, restore_and_release(*checkpointer_, restore_request(), pid_));
}

Cage::~Cage() {
  if (cgroup_) {
    const auto clear = [this]() -> Task<Status> {
      ICON_CO_CHECK(co_await cgroup_->kill_all());
      (void)run_command_blocking(runc({"delete", "--force", tag_}));
      co_return co_await cgroup_->remove();
    };
    (void)run_on(loop_, clear());
  }
  images_.reset();
  umount2((base_ + "/root").c_str(), MNT_DETACH);
  (void)remove_namespace();
  std::error_code error;
  fs::remove_all(base_, error);
}

}  // namespace icon::migration
