#include "cli/probes.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/fd.h"
#include "base/file.h"
#include "base/subprocess.h"

namespace icon::cli::probe {
namespace {

constexpr Millis kProbeMax{10'000};
constexpr std::size_t kProcFileBytesMax = 1 << 20;

// Runs `experiment` in a child; what it refuses comes back as its errno. /bin/true is what the
// child becomes when all went well.
Status in_child(const char* what, std::function<int()> experiment) {
  Command command;
  command.argv = {"true"};
  command.timeout = kProbeMax;
  command.before_exec = std::move(experiment);
  const auto outcome = run_command_blocking(std::move(command));
  if (!outcome)
    return fail(outcome.error().code, std::string(what) + ": " + outcome.error().message);
  return {};
}

// `argv` in a network namespace of its own.
Status in_new_netns(std::vector<std::string> argv, std::string input = {}) {
  Command command;
  command.argv = std::move(argv);
  command.input = std::move(input);
  command.timeout = kProbeMax;
  command.before_exec = [] { return unshare(CLONE_NEWNET); };
  return run_checked_blocking(std::move(command));
}

int mount_overlay() {
  // On a tmpfs of its own mount namespace: nothing of it is seen outside.
  if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return -1;
  if (mount("tmpfs", "/tmp", "tmpfs", 0, "size=1m") != 0 || chdir("/tmp") != 0) return -1;
  for (const char* name : {"lower", "upper", "work", "merged"})
    if (mkdir(name, 0700) != 0) return -1;
  return mount("overlay", "merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work");
}

int make_tun() {
  if (unshare(CLONE_NEWNET) != 0) return -1;
  const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd < 0) return -1;
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::strncpy(request.ifr_name, "iconcheck", IFNAMSIZ - 1);
  return ioctl(fd, TUNSETIFF, &request);
}

}  // namespace

Status namespaces() {
  return in_child("new namespaces", [] {
    return unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS);
  });
}

Status userfaultfd() {
  const UniqueFd fd(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
  if (!fd) return fail_errno("userfaultfd");
  return {};
}

Status overlayfs() { return in_child("mount an overlay", mount_overlay); }
Status tun() { return in_child("make a TUN device", make_tun); }

Status veth() {
  return in_new_netns({"ip", "link", "add", "icon0", "type", "veth", "peer", "name", "icon1"});
}

Status nftables_nat() {
  return in_new_netns({"nft", "-f", "-"},
                      "table ip icon_check {\n"
                      "  chain in { type nat hook prerouting priority -100;\n"
                      "    tcp dport 1 dnat to 192.0.2.1; tcp dport 2 redirect to :3; }\n"
                      "  chain out { type nat hook postrouting priority 100; masquerade; }\n"
                      "  chain tag { type filter hook forward priority 0;\n"
                      "    ct state established ct mark set 1; meta mark set ct mark; }\n"
                      "}\n");
}

Result<std::string> cgroup_freezer() {
  ICON_TRY(const auto mounts, read_file("/proc/self/mounts", kProcFileBytesMax));
  for (std::size_t start = 0; start < mounts.size();) {
    const auto end = std::min(mounts.find('\n', start), mounts.size());
    const auto line = mounts.substr(start, end - start);
    start = end + 1;
    if (line.find(" cgroup ") != std::string::npos && line.find("freezer") != std::string::npos)
      return std::string("v1");
    // The freezer is part of v2 itself since Linux 5.2.
    if (line.find(" cgroup2 ") != std::string::npos &&
        line.find(" /sys/fs/cgroup ") != std::string::npos)
      return std::string("v2");
  }
  return fail(Code::kUnavailable, "no freezer hierarchy is mounted");
}

Result<bool> has_capability(int number) {
  ICON_TRY(const auto status, read_file("/proc/self/status", kProcFileBytesMax));
  const auto at = status.find("CapEff:\t");
  if (at == std::string::npos) return fail(Code::kIo, "no CapEff in /proc/self/status");
  const auto set = std::strtoull(status.c_str() + at + std::strlen("CapEff:\t"), nullptr, 16);
  return (set >> number & 1) != 0;
}

Status port_free(int port) {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("socket");
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return {};
  if (errno == EADDRINUSE) return fail(Code::kConflict, "somebody listens on it");
  return fail_errno("bind");
}

Result<std::int64_t> free_bytes(const std::string& path) {
  std::filesystem::path existing = path;
  std::error_code error;
  while (!std::filesystem::exists(existing, error) && existing.has_relative_path())
    existing = existing.parent_path();
  struct statvfs info {};
  if (statvfs(existing.c_str(), &info) != 0) return fail_errno("look at " + existing.string());
  return static_cast<std::int64_t>(info.f_bavail) * static_cast<std::int64_t>(info.f_frsize);
}

}  // namespace icon::cli::probe
