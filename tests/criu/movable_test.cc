// What can be moved is what check_movable() says, and nothing else: every animal of the zoo is put
// into a container, asked about, and really dumped and restored by CRIU. An obstacle that CRIU
// carries all the same, or a clean answer for something that it does not, fails here.
#include "migration/movable/movable.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <set>

#include "base/subprocess.h"
#include "tests/criu/cage.h"

namespace icon::migration {
namespace {

constexpr Millis kDumpLimit{30'000};
constexpr Millis kEndless{4'000};  // a dump takes a twentieth of that

enum class Fate {
  kMoves,
  kCannotBeDumped,
  kDumpNeverEnds,  // not in a time that anybody would wait for
  kCannotBeRestored,
  kIsLost,  // dump and restore succeed, but what was special is gone
};

struct Case {
  Cage::Options cage;
  std::set<std::string> kinds;  // of the obstacles that block
  Fate fate = Fate::kMoves;
  std::string name;  // the animal's when empty
};

std::set<std::string> blocking(const Result<MovableReport>& report) {
  std::set<std::string> kinds;
  if (!report) {
    ADD_FAILURE() << report.error().message;
    return kinds;
  }
  for (const auto& obstacle : report->obstacles) {
    EXPECT_FALSE(obstacle.fix.empty()) << obstacle.to_string();
    if (obstacle.blocks) kinds.insert(obstacle.kind);
  }
  return kinds;
}

Provisions provisions() { return {{"/run/icon"}, 0}; }

void PrintTo(const Case& item, std::ostream* out) { *out << item.cage.animal; }

class MovableTest : public ::testing::TestWithParam<Case> {};

TEST_P(MovableTest, CriuAgrees) {
  const Case& item = GetParam();
  const auto cage = Cage::create(item.cage);
  ASSERT_TRUE(cage) << cage.error().message;
  const auto report = check_movable((*cage)->pid(), provisions());
  EXPECT_EQ(blocking(report), item.kinds);
  if (report) {
    EXPECT_EQ(report->movable(), item.kinds.empty());
  }

  const auto dumped = (*cage)->dump(item.fate == Fate::kDumpNeverEnds ? kEndless : kDumpLimit);
  const std::string dump_words = dumped ? "it could be dumped" : dumped.error().message;
  if (item.fate == Fate::kDumpNeverEnds) {
    ASSERT_FALSE(dumped);
    EXPECT_EQ(dumped.error().code, Code::kTimeout) << dump_words;
    return;
  }
  ASSERT_EQ(dumped.has_value(), item.fate != Fate::kCannotBeDumped) << dump_words;
  if (!dumped) {
    EXPECT_EQ(dumped.error().code, Code::kIo) << dump_words;
    return;
  }
  const auto restored = (*cage)->restore();
  const std::string words = restored ? "it could be restored" : restored.error().message;
  ASSERT_EQ(restored.has_value(), item.fate != Fate::kCannotBeRestored) << words;
  if (!restored) return;
  // Moved: as movable as before. Lost: what was found is not there any more.
  EXPECT_TRUE(blocking(check_movable((*cage)->pid(), provisions())).empty());
}

Case fine(const std::string& animal) { return {{animal, nullptr, "", {}}, {}, Fate::kMoves, ""}; }

std::vector<Case> what_moves() {
  std::vector<Case> cases;
  for (const char* animal :
       {"nothing", "epoll", "epoll_stale", "eventfd", "timerfd", "signalfd", "memfd", "aio",
        "posix_timer", "pidfd_own", "locked_memory", "shared_memory", "system_v", "pipe", "bpf_map",
        // sockets
        "unix_listening", "unix_unlinked", "unix_waiting", "unix_pair_stream",
        "unix_pair_seqpacket", "unix_pair_datagram", "unix_half", "netlink_route", "netlink_diag",
        "netlink_filter", "netlink_uevent", "netlink_generic", "netlink_audit", "netlink_xfrm",
        "raw", "ping", "packet", "packet_ring", "udp", "udp_connected", "udplite", "tcp_listening",
        "tcp_connected", "tcp_half_closed", "tcp_fresh", "tcp_waiting", "tcp_connecting",
        // processes
        "children", "session", "zombie", "threads", "other_user", "seccomp_filter", "chroot",
        "inner_mounts", "pids_for_children",
        // files
        "file", "deleted_small", "deleted_mapped_small", "deleted_medium", "deleted_mapped_medium",
        "deleted_directory", "fifo", "lock_posix", "lock_open_file", "lock_flock", "lease_read",
        "device_null", "device_zero", "device_random", "device_full", "device_kmsg",
        "device_zero_shared", "terminal_pair", "terminal_alone", "proc_file", "proc_memory",
        "sys_file", "namespace_own", "own_mount", "watch_memory", "watch_etc"})
    cases.push_back(fine(animal));
  // An overlay with lasting handles.
  for (const char* animal : {"inotify", "fanotify", "watch_layer"})
    cases.push_back({{animal, nullptr, ",index=on,nfs_export=on", {}},
                     {},
                     Fate::kMoves,
                     std::string(animal) + "_exported"});
  return cases;
}

Case obstacle(const std::string& animal, const std::string& kind,
              Fate fate = Fate::kCannotBeDumped) {
  return {{animal, nullptr, "", {}}, {kind}, fate, ""};
}

std::vector<Case> what_does_not() {
  std::vector<Case> cases{obstacle("io_uring", "io_uring"),
                          obstacle("io_uring_mapped", "io_uring"),
                          obstacle("userfaultfd", "userfaultfd"),
                          obstacle("bpf_program", "bpf"),
                          obstacle("perf_event", "perf_event"),
                          obstacle("landlock_rules", "landlock"),
                          obstacle("seccomp_listener", "seccomp_listener"),
                          obstacle("memfd_secret", "secret_memory"),
                          obstacle("message_queue", "message_queue"),
                          obstacle("inotify", "watch"),
                          obstacle("fanotify", "watch"),
                          obstacle("watch_layer", "watch"),
                          obstacle("watch_proc", "watch"),
                          obstacle("mptcp", "mptcp"),
                          obstacle("vsock", "vsock"),
                          obstacle("unix_stream_outside", "unix_outside"),
                          obstacle("unix_seqpacket_outside", "unix_outside"),
                          obstacle("unix_datagram_outside", "unix_outside"),
                          obstacle("traced", "traced"),
                          obstacle("stopped", "stopped", Fate::kDumpNeverEnds),
                          obstacle("lease_write", "lease", Fate::kDumpNeverEnds),
                          obstacle("inner_pids", "namespace"),
                          obstacle("inner_network", "namespace", Fate::kCannotBeRestored),
                          obstacle("inner_users", "namespace"),
                          obstacle("inner_ipc", "namespace"),
                          obstacle("inner_uts", "namespace"),
                          obstacle("inner_cgroups", "namespace"),
                          obstacle("inner_time", "namespace"),
                          obstacle("thread_own_files", "thread", Fate::kIsLost),
                          obstacle("thread_own_directory", "thread", Fate::kIsLost),
                          obstacle("thread_own_network", "thread", Fate::kIsLost),
                          obstacle("deleted_large", "deleted_large"),
                          obstacle("deleted_mapped_large", "deleted_large"),
                          obstacle("deleted_other_name", "deleted_link"),
                          obstacle("detached_mount", "outside_mount"),
                          obstacle("device_fuse", "device"),
                          obstacle("device_loop", "device"),
                          obstacle("device_mapped", "device"),
                          obstacle("device_tun", "device"),
                          obstacle("tun_interface", "device")};
  return cases;
}

// --- Descriptors from outside.

// What the outside keeps while a case runs.
UniqueFd kept;

UniqueFd outside_file() { return UniqueFd(open("/etc/hostname", O_RDONLY | O_CLOEXEC)); }
UniqueFd outside_device() { return UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC)); }
UniqueFd outside_pidfd() {
  return UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
}
UniqueFd outside_namespace() { return UniqueFd(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)); }
UniqueFd outside_memory() { return UniqueFd(memfd_create("gift", MFD_CLOEXEC)); }
UniqueFd outside_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return {};
  kept = UniqueFd(ends[1]);
  return UniqueFd(ends[0]);
}
// Nobody holds the other end: nothing is lost.
UniqueFd lone_pipe() {
  auto end = outside_pipe();
  kept.reset();
  return end;
}
UniqueFd outside_pair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return {};
  kept = UniqueFd(ends[1]);
  return UniqueFd(ends[0]);
}

std::vector<Case> what_comes_from_outside() {
  const auto gift = [](const char* name, UniqueFd (*give)(), std::set<std::string> kinds,
                       Fate fate) {
    return Case{{"received", give, "", {}}, std::move(kinds), fate, name};
  };
  return {
      gift("outside_file", outside_file, {"outside_mount"}, Fate::kCannotBeDumped),
      gift("outside_device", outside_device, {"outside_mount"}, Fate::kCannotBeDumped),
      gift("outside_pidfd", outside_pidfd, {"pidfd_outside"}, Fate::kCannotBeDumped),
      gift("outside_namespace", outside_namespace, {"namespace_outside"}, Fate::kCannotBeDumped),
      gift("outside_pair", outside_pair, {"unix_outside"}, Fate::kCannotBeDumped),
      gift("outside_pipe", outside_pipe, {"pipe_outside"}, Fate::kIsLost),
      gift("outside_memory", outside_memory, {}, Fate::kMoves),
      gift("lone_pipe", lone_pipe, {}, Fate::kMoves)};
}

json::Object mount_of(const char* point, const char* type, const char* source,
                      json::Array options) {
  return {
      {"destination", point}, {"type", type}, {"source", source}, {"options", std::move(options)}};
}

std::vector<Case> mounts() {
  const auto with = [](const char* name, json::Object mount, std::set<std::string> kinds,
                       Fate fate) {
    return Case{{"nothing", nullptr, "", {std::move(mount)}}, std::move(kinds), fate, name};
  };
  return {with("volume_directory", mount_of("/data", "bind", "/etc", {"bind"}), {"volume"},
               Fate::kCannotBeDumped),
          with("volume_file", mount_of("/hosts", "bind", "/etc/hosts", {"bind"}), {"volume"},
               Fate::kCannotBeDumped),
          with("own_memory", mount_of("/data", "tmpfs", "tmpfs", {"size=1m"}), {}, Fate::kMoves)};
}

std::string name_of(const ::testing::TestParamInfo<Case>& item) {
  return item.param.name.empty() ? item.param.cage.animal : item.param.name;
}

INSTANTIATE_TEST_SUITE_P(Moves, MovableTest, ::testing::ValuesIn(what_moves()), name_of);
INSTANTIATE_TEST_SUITE_P(Stays, MovableTest, ::testing::ValuesIn(what_does_not()), name_of);
INSTANTIATE_TEST_SUITE_P(Outside, MovableTest, ::testing::ValuesIn(what_comes_from_outside()),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Mounts, MovableTest, ::testing::ValuesIn(mounts()), name_of);

// --- What is no matter of CRIU's.

TEST(Movable, AConnectionThatTheAgentLetsGoIsNoObstacle) {
  const auto cage = Cage::create({"unix_stream_outside", nullptr, "", {}});
  ASSERT_TRUE(cage) << cage.error().message;
  const int pid = (*cage)->pid();
  EXPECT_TRUE(check_movable(pid, {{"/run/icon"}, pid})->movable());
}

TEST(Movable, WhoHoldsTheOtherEndIsNamed) {
  const auto cage = Cage::create({"unix_stream_outside", nullptr, "", {}});
  ASSERT_TRUE(cage) << cage.error().message;
  const auto connection = (*cage)->accept();
  ASSERT_TRUE(connection);
  const auto report = check_movable((*cage)->pid(), provisions());
  ASSERT_TRUE(report);
  ASSERT_EQ(report->obstacles.size(), 1u);
  EXPECT_NE(report->obstacles[0].what.find("process " + std::to_string(getpid()) + " ("),
            std::string::npos)
      << report->obstacles[0].what;
}

TEST(Movable, AVisitorStaysBehind) {
  const auto cage = Cage::create({"nothing", nullptr, "", {}});
  ASSERT_TRUE(cage) << cage.error().message;
  ChildProcess::Options options;
  int ready[2];
  ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
  const UniqueFd read_end(ready[0]);
  UniqueFd write_end(ready[1]);
  options.argv = {"nsenter", "--pid", "--target", std::to_string((*cage)->pid()),
                  "--",      "sh",    "-c",       "echo; exec sleep 60"};
  options.output_fd = write_end.get();
  auto visitor = ChildProcess::start(std::move(options));
  ASSERT_TRUE(visitor);
  write_end.reset();
  char byte = 0;
  ASSERT_EQ(read(read_end.get(), &byte, 1), 1);
  const auto report = check_movable((*cage)->pid(), provisions());
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_TRUE(report->movable());
  ASSERT_EQ(report->obstacles.size(), 1u);
  EXPECT_EQ(report->obstacles[0].kind, "visitor");
}

TEST(Movable, AProcessOfTheHostIsNotContained) {
  const auto report = check_movable(getpid(), {});
  EXPECT_TRUE(blocking(report).contains("not_contained"));
}

TEST(Movable, WhoIsGoneIsNotFound) {
  const int pid = fork();
  if (pid == 0) _exit(0);
  waitpid(pid, nullptr, 0);
  const auto report = check_movable(pid, {});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, Code::kNotFound);
}

}  // namespace
}  // namespace icon::migration
