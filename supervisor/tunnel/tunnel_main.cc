// icon-tunnel: one encrypted interface that speaks WireGuard. Started by the supervisor, outlives
// it, is configured over its socket (by `wg` too). Ends on SIGTERM or when its interface is
// deleted.
#include <linux/capability.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "base/log.h"
#include "supervisor/tunnel/device.h"

namespace {

using icon::Status;

constexpr rlim_t kHeapBytesMax = rlim_t{64} << 20;  // stacks count with their full size

// From here on strangers' bytes are parsed: nothing of root's power is needed for that, and the
// interface lets itself go without.
Status drop_privileges() {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return icon::fail_errno("no_new_privs");
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return icon::fail_errno("clear dumpable");
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2]{};
  if (syscall(SYS_capset, &header, none) != 0) return icon::fail_errno("drop capabilities");
  return {};
}

Status run(const icon::tunnel::DeviceOptions& options, int ready_fd) {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  sigprocmask(SIG_BLOCK, &stop, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  icon::UniqueFd stop_fd(signalfd(-1, &stop, SFD_CLOEXEC));
  if (!stop_fd) return icon::fail_errno("signalfd");
  // No core file holds a key.
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  // Two threads that hardly allocate: one heap, and a limit that a mistake of ours runs into before
  // the host does.
  mallopt(M_ARENA_MAX, 1);
  const rlimit heap{kHeapBytesMax, kHeapBytesMax};
  setrlimit(RLIMIT_DATA, &heap);
  const icon::SystemClock clock;
  ICON_TRY(auto device, icon::tunnel::Device::create(options, clock));
  ICON_CHECK(drop_privileges());
  if (ready_fd >= 0) {
    (void)!write(ready_fd, "1", 1);
    close(ready_fd);
  }
  return device->run(stop_fd.get());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"One encrypted network interface that speaks WireGuard"};
  icon::tunnel::DeviceOptions options;
  std::string log_path;
  int ready_fd = -1;
  app.add_option("--interface", options.interface, "Name of the interface to make")->required();
  app.add_option("--socket", options.socket_path,
                 "Control socket to make; without: where wg looks");
  app.add_flag("--publish", options.publish, "Link the control socket where wg looks");
  app.add_option("--fwmark", options.fwmark, "Mark of the outer packets");
  std::string aead = "auto";
  app.add_option("--aead", aead, "ipsec-mb, ipsec-mb-avx2, openssl, sodium, or auto: the fastest");
  app.add_option("--log", log_path, "File for events; standard error without");
  app.add_option("--ready-fd", ready_fd, "Descriptor that gets a byte once it listens");
  CLI11_PARSE(app, argc, argv);
  icon::log::init(icon::log::Level::kInfo, log_path);
  const auto backend = icon::tunnel::wg::parse_aead_backend(aead);
  if (backend) options.aead = *backend;
  const auto status = backend ? run(options, ready_fd) : Status(icon::fail(backend.error()));
  if (!status) {
    icon::log::error("tunnel.failed",
                     {{"interface", options.interface}, {"error", status.error().message}});
    return 1;
  }
  return 0;
}
