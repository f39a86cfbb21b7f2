#include "stub/confine.h"

#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <vector>

namespace icon::stub {
namespace {

// Sanitizers look at memory through system calls of their own.
#if defined(__SANITIZE_ADDRESS__)
constexpr unsigned kAuditArchitecture = 0;
#elif defined(__x86_64__)
constexpr unsigned kAuditArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr unsigned kAuditArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr unsigned kAuditArchitecture = 0;
#endif

// What Asio's epoll reactor, malloc and an orderly end need. Nothing here opens a file, starts a
// process, connects anywhere or changes who we are.
constexpr int kAllowedCalls[] = {
    SYS_accept,
    SYS_accept4,
    SYS_brk,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_close,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_exit,
    SYS_exit_group,
    SYS_fcntl,
    SYS_fsync,
    SYS_futex,
    SYS_getpeername,
    SYS_getpid,
    SYS_getrandom,
    SYS_getsockname,
    SYS_getsockopt,
    SYS_gettid,
    SYS_ioctl,
    SYS_madvise,
    SYS_mmap,
    SYS_mprotect,
    SYS_mremap,
    SYS_munmap,
    SYS_ppoll,
    SYS_read,
    SYS_readv,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_restart_syscall,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sendmsg,
    SYS_sendto,
    SYS_setsockopt,
    SYS_shutdown,
    SYS_sigaltstack,
    SYS_tgkill,
    SYS_timerfd_settime,
    SYS_write,
    SYS_writev,
#if defined(__x86_64__)
    SYS_epoll_wait,
    SYS_poll,
    SYS_time,
    SYS_gettimeofday,
#endif
};

Status leave_file_system() {
  // A directory without a name: nothing can be created in it, nothing leads out of it.
  char empty[] = "/tmp/icon-stub.XXXXXX";
  if (mkdtemp(empty) == nullptr) return fail_errno("make an empty directory in /tmp");
  const bool entered = chdir(empty) == 0;
  if (rmdir(empty) != 0 || !entered) return fail_errno("enter an empty directory");
  if (chroot(".") != 0) return fail_errno("chroot");
  return {};
}

Status drop_user(const Confinement& confinement) {
  if (setgroups(0, nullptr) != 0) return fail_errno("setgroups");
  // While still root: the bounding set decides what no later exec could ever regain.
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability) != 0) return fail_errno("drop the bounding set");
  }
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return fail_errno("clear ambient capabilities");
  const auto uid = confinement.uid;
  const auto gid = confinement.gid;
  if (setresgid(gid, gid, gid) != 0) return fail_errno("setresgid");
  if (setresuid(uid, uid, uid) != 0) return fail_errno("setresuid");
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3]{};
  if (syscall(SYS_capset, &header, none) != 0) return fail_errno("capset");
  if (setuid(0) == 0) return fail(Code::kInternal, "root came back after it was given up");
  return {};
}

Status set_limit(__rlimit_resource resource, rlim_t value, const char* name) {
  const rlimit limit{value, value};
  if (setrlimit(resource, &limit) != 0) return fail_errno(name);
  return {};
}

Status install_filter() {
  if (kAuditArchitecture == 0) return {};
  std::vector<sock_filter> program;
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kAuditArchitecture, 1, 0));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (const int call : kAllowedCalls) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  // An error, not a kill: a library that tries something new should not end the redirections.
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1 /* EPERM */));
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
    return fail_errno("install the seccomp filter");
  return {};
}

}  // namespace

Status confine(const Confinement& confinement) {
  ICON_CHECK(set_limit(RLIMIT_NOFILE, confinement.descriptors_max, "limit descriptors"));
  ICON_CHECK(set_limit(RLIMIT_CORE, 0, "limit core files"));
  if (geteuid() == 0) {
    ICON_CHECK(leave_file_system());
    ICON_CHECK(drop_user(confinement));
  }
  ICON_CHECK(set_limit(RLIMIT_NPROC, 0, "limit processes"));
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("no_new_privs");
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno("not dumpable");
  return install_filter();
}

}  // namespace icon::stub
