// Processes in unusual states, and namespaces within the tree.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/criu/zoo.h"

namespace icon::zoo {
namespace {

// A child that has done `work` when this returns, and waits. It dies with its parent's namespace.
int child_that(const std::function<void()>& work) {
  int ready[2];
  must(pipe(ready), "pipe");
  const int pid = must(fork(), "fork");
  if (pid == 0) {
    close(ready[0]);
    work();
    if (write(ready[1], "r", 1) != 1) _exit(1);
    close(ready[1]);
    for (;;) pause();
  }
  close(ready[1]);
  char byte = 0;
  const auto count = read(ready[0], &byte, 1);
  close(ready[0]);
  if (count != 1) give_up("the child");
  return pid;
}

void unshared(int flags) {
  child_that([flags] { must(unshare(flags), "unshare"); });
}

void inner_pids() {
  child_that([] {
    must(unshare(CLONE_NEWPID), "unshare");
    child_that([] {});
  });
}

void traced() {
  const int pid = child_that([] {});
  must(static_cast<int>(ptrace(PTRACE_SEIZE, pid, nullptr, nullptr)), "seize");
}

void stopped() {
  const int pid = child_that([] {});
  must(kill(pid, SIGSTOP), "stop");
  must(waitpid(pid, nullptr, WUNTRACED), "wait");
}

void zombie() {
  const int pid = child_that([] {});
  must(kill(pid, SIGKILL), "kill");
  siginfo_t information{};
  must(waitid(P_PID, static_cast<id_t>(pid), &information, WEXITED | WNOWAIT), "wait");
}

// What `make` a thread of its own is not shared with the others any more.
void in_a_thread(const std::function<void()>& make) {
  int ready[2];
  must(pipe(ready), "pipe");
  std::thread([make, end = ready[1]] {
    make();
    if (write(end, "r", 1) != 1) _exit(1);
    for (;;) pause();
  }).detach();
  char byte = 0;
  must(static_cast<int>(read(ready[0], &byte, 1)), "read");
}

// Many tasks, and memory: what takes a restore its time.
void crowd() {
  for (int i = 0; i < 4; ++i)
    child_that([] {
      std::vector<char>(4 << 20, 'm').swap(*new std::vector<char>);
      in_a_thread([] {});
      child_that([] { in_a_thread([] {}); });
    });
}

void* filled(std::size_t bytes, int flags) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) give_up("mmap");
  return std::memset(memory, 'm', bytes);
}

// Memory that two processes see, and some that the kernel keeps in place.
void memory_in_images() {
  filled(16 << 20, MAP_SHARED);
  child_that([] { must(mlock(filled(4 << 20, MAP_PRIVATE), 4 << 20), "mlock"); });
}

// Waits for ever, with the first byte of a page as its stack pointer.
[[noreturn]] void wait_at_a_page() {
#if defined(__x86_64__)
  asm volatile(
      "and $-4096, %%rsp\n"
      "1: mov %0, %%eax\n"
      "syscall\n"
      "jmp 1b\n" ::"i"(SYS_pause)
      : "rax", "rcx", "r11", "memory");
  __builtin_unreachable();
#else
  give_up("a stack pointer at a page: not known for this processor");
#endif
}

// Memory, and a stack pointer that says nothing about which of it is a stack.
void stack_at_a_page() {
  std::vector<char>(32 << 20, 'm').swap(*new std::vector<char>);
  const int pid = must(fork(), "fork");
  if (pid == 0) wait_at_a_page();
  // "NUMBER ARGUMENTS STACK-POINTER PROGRAM-COUNTER"; "running" before.
  const std::string path = "/proc/" + std::to_string(pid) + "/syscall";
  for (;;) {
    std::ifstream file(path);
    std::vector<std::string> words;
    for (std::string word; file >> word;) words.push_back(word);
    if (words.size() == 9 && words[7].ends_with("000")) return;
    sched_yield();
  }
}

int install_filter(unsigned flags) {
  sock_filter allow[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  sock_fprog program{1, allow};
  must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
  return must(static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program)),
              "seccomp");
}

}  // namespace

Animals processes() {
  return {
      {"children", [] { child_that([] { child_that([] {}); }); }},
      {"crowd", crowd},
      {"stack_at_a_page", stack_at_a_page},
      {"memory_in_images", memory_in_images},
      {"chroot", [] { child_that([] { must(chroot("/tmp"), "chroot"); }); }},
      {"session", [] { child_that([] { must(setsid(), "setsid"); }); }},
      {"traced", traced},
      {"stopped", stopped},
      {"zombie", zombie},
      {"threads", [] { in_a_thread([] {}); }},
      {"thread_own_files", [] { in_a_thread([] { must(unshare(CLONE_FILES), "unshare"); }); }},
      {"thread_own_directory",
       [] {
         in_a_thread([] {
           must(unshare(CLONE_FS), "unshare");
           must(chdir("/tmp"), "chdir");
         });
       }},
      {"thread_own_network", [] { in_a_thread([] { must(unshare(CLONE_NEWNET), "unshare"); }); }},
      {"other_user",
       [] {
         child_that([] {
           must(setgid(1234), "setgid");
           must(setuid(1234), "setuid");
         });
       }},
      {"seccomp_filter", [] { child_that([] { install_filter(0); }); }},
      {"seccomp_listener",
       [] { child_that([] { install_filter(SECCOMP_FILTER_FLAG_NEW_LISTENER); }); }},
      {"inner_pids", inner_pids},
      {"inner_network", [] { unshared(CLONE_NEWNET); }},
      {"inner_mounts", [] { unshared(CLONE_NEWNS); }},
      {"inner_users", [] { unshared(CLONE_NEWUSER); }},
      {"inner_ipc", [] { unshared(CLONE_NEWIPC); }},
      {"inner_uts", [] { unshared(CLONE_NEWUTS); }},
      {"inner_cgroups", [] { unshared(CLONE_NEWCGROUP); }},
      {"inner_time",
       [] {
         child_that([] {
           must(unshare(CLONE_NEWTIME), "unshare");
           child_that([] {});
         });
       }},
      {"pids_for_children", [] { must(unshare(CLONE_NEWPID), "unshare"); }},
  };
}

}  // namespace icon::zoo
