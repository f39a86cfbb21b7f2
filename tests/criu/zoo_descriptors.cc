// Descriptors that are neither files nor sockets, and memory of unusual kinds.
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/landlock.h>
#include <linux/perf_event.h>
#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <ctime>

#include "tests/criu/zoo.h"

namespace icon::zoo {
namespace {

template <class... Arguments>
int call(const char* what, long number, Arguments... arguments) {
  return must(static_cast<int>(syscall(number, arguments...)), what);
}

void* map(std::size_t bytes, int flags, int fd) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (memory == MAP_FAILED) give_up("mmap");
  return memory;
}

void io_uring() {
  io_uring_params parameters{};
  call("io_uring_setup", SYS_io_uring_setup, 8, &parameters);
}

// The descriptor may be closed: the ring lives on in the memory.
void io_uring_mapped() {
  io_uring_params parameters{};
  const int fd = call("io_uring_setup", SYS_io_uring_setup, 8, &parameters);
  map(parameters.sq_off.array + parameters.sq_entries * 4, MAP_SHARED | MAP_POPULATE, fd);
  close(fd);
}

int bpf_map() {
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_HASH;
  attributes.key_size = 4;
  attributes.value_size = 4;
  attributes.max_entries = 8;
  return call("bpf map", SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes);
}

void bpf_program() {
  const bpf_insn code[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0},
                           {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.insns = reinterpret_cast<std::uint64_t>(code);
  attributes.insn_cnt = 2;
  attributes.license = reinterpret_cast<std::uint64_t>("GPL");
  call("bpf program", SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes);
}

void perf_event() {
  perf_event_attr attributes{};
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.size = sizeof attributes;
  attributes.config = PERF_COUNT_SW_CPU_CLOCK;
  call("perf_event_open", SYS_perf_event_open, &attributes, 0, -1, -1, 0);
}

void landlock_rules() {
  landlock_ruleset_attr rules{};
  rules.handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE;
  call("landlock", SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
}

void epoll() {
  const int fd = must(epoll_create1(0), "epoll");
  epoll_event event{};
  event.events = EPOLLIN;
  must(epoll_ctl(fd, EPOLL_CTL_ADD, must(eventfd(1, 0), "eventfd"), &event), "epoll_ctl");
}

// The descriptor under which it was added is closed, the thing itself is not.
void epoll_stale() {
  const int fd = must(epoll_create1(0), "epoll");
  const int event_fd = must(eventfd(1, 0), "eventfd");
  epoll_event event{};
  event.events = EPOLLIN;
  must(epoll_ctl(fd, EPOLL_CTL_ADD, event_fd, &event), "epoll_ctl");
  must(dup(event_fd), "dup");
  close(event_fd);
}

void timer_descriptor() {
  const itimerspec every{{1, 0}, {1, 0}};
  must(timerfd_settime(must(timerfd_create(CLOCK_MONOTONIC, 0), "timerfd"), 0, &every, nullptr),
       "settime");
}

void signal_descriptor() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  must(signalfd(-1, &set, 0), "signalfd");
}

void fanotify() {
  const int fd = must(fanotify_init(FAN_CLASS_NOTIF, O_RDONLY), "fanotify_init");
  must(fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "/tmp"), "fanotify_mark");
}

void memfd() {
  const int fd = must(memfd_create("zoo", MFD_ALLOW_SEALING), "memfd");
  must(ftruncate(fd, 3 << 20), "ftruncate");
  map(3 << 20, MAP_SHARED, fd);
}

void secret_memory() {
  const int fd = call("memfd_secret", SYS_memfd_secret, 0);
  must(ftruncate(fd, 8192), "ftruncate");
  map(8192, MAP_SHARED, fd);
}

void system_v() {
  const int id = must(shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600), "shmget");
  if (shmat(id, nullptr, 0) == reinterpret_cast<void*>(-1)) give_up("shmat");
  must(semget(IPC_PRIVATE, 2, IPC_CREAT | 0600), "semget");
  must(msgget(IPC_PRIVATE, IPC_CREAT | 0600), "msgget");
}

void message_queue() { must(mq_open("/zoo", O_CREAT | O_RDWR, 0600, nullptr), "mq_open"); }

void asynchronous_io() {
  aio_context_t context = 0;
  call("io_setup", SYS_io_setup, 8, &context);
}

void posix_timer() {
  timer_t timer{};
  sigevent event{};
  event.sigev_notify = SIGEV_NONE;
  must(timer_create(CLOCK_MONOTONIC, &event, &timer), "timer_create");
}

}  // namespace

Animals descriptors() {
  return {
      {"nothing", [] {}},
      {"io_uring", io_uring},
      {"io_uring_mapped", io_uring_mapped},
      {"userfaultfd", [] { call("userfaultfd", SYS_userfaultfd, O_CLOEXEC); }},
      {"bpf_map", [] { bpf_map(); }},
      {"bpf_program", bpf_program},
      {"perf_event", perf_event},
      {"landlock_rules", landlock_rules},
      {"epoll", epoll},
      {"epoll_stale", epoll_stale},
      {"eventfd", [] { must(eventfd(7, 0), "eventfd"); }},
      {"timerfd", timer_descriptor},
      {"signalfd", signal_descriptor},
      {"inotify",
       [] {
         must(inotify_add_watch(must(inotify_init(), "inotify"), "/tmp", IN_CREATE), "watch");
       }},
      {"fanotify", fanotify},
      {"memfd", memfd},
      {"memfd_secret", secret_memory},
      {"system_v", system_v},
      {"message_queue", message_queue},
      {"aio", asynchronous_io},
      {"posix_timer", posix_timer},
      {"pidfd_own", [] { call("pidfd_open", SYS_pidfd_open, getpid(), 0); }},
      {"received", [] { receive_descriptor(); }},
      {"locked_memory", [] { must(mlockall(MCL_CURRENT), "mlockall"); }},
      {"shared_memory", [] { map(1 << 20, MAP_SHARED | MAP_ANONYMOUS, -1); }},
      {"pipe",
       [] {
         int ends[2];
         must(pipe(ends), "pipe");
         must(static_cast<int>(write(ends[1], "x", 1)), "write");
       }},
  };
}

}  // namespace icon::zoo
