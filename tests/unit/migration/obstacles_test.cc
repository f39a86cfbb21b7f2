// The rules, on trees that are written down. What CRIU really does: tests/criu/movable_test.cc.
#include "migration/movable/obstacles.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "migration/checkpointer.h"
#include "migration/movable/movable.h"

namespace icon::migration {
namespace {

constexpr int kRootMount = 100;

Namespaces inside() {
  return {{"cgroup", 1}, {"ipc", 2},  {"mnt", 3}, {"net", 4},
          {"pid", 5},    {"user", 6}, {"uts", 7}, {"time_for_children", 8}};
}

ProcessTree tree_with(std::vector<Descriptor> descriptors) {
  ProcessTree tree;
  tree.root = 4711;
  Process process;
  process.pid = 4711;
  process.inner_pid = 1;
  process.name = "service";
  process.namespaces = inside();
  process.descriptors = std::move(descriptors);
  tree.processes.push_back(std::move(process));
  tree.mounts = {{kRootMount, {0, 45}, "/", "/", "overlay"}};
  tree.mount_ids = {kRootMount};
  tree.host = {{"pid", 105}, {"mnt", 103}, {"net", 104}, {"ipc", 102}};
  return tree;
}

Descriptor descriptor(const std::string& target, const std::string& socket_kind = "") {
  Descriptor made;
  made.number = 3;
  made.target = target;
  made.socket_kind = socket_kind;
  return made;
}

Descriptor file(mode_t mode, std::uint64_t links, std::uint64_t bytes, int mount = kRootMount) {
  Descriptor made = descriptor("/var/lib/data");
  made.file.mode = mode;
  made.file.links = links;
  made.file.bytes = bytes;
  made.file.mount = mount;
  return made;
}

std::vector<std::string> kinds(const ProcessTree& tree, const Provisions& provisions = {}) {
  std::vector<std::string> kinds;
  for (const auto& obstacle : find_obstacles(tree, provisions)) kinds.push_back(obstacle.kind);
  return kinds;
}
using Kinds = std::vector<std::string>;

TEST(Obstacles, AnOrdinaryServiceHasNone) {
  auto tree = tree_with({descriptor("socket:[7]", "TCP"), descriptor("socket:[8]", "UDPv6"),
                         descriptor("socket:[9]", "NETLINK"), descriptor("pipe:[10]"),
                         descriptor("anon_inode:[eventpoll]"), descriptor("anon_inode:[eventfd]"),
                         descriptor("net:[4]"), file(S_IFREG, 1, 5 << 20)});
  tree.processes[0].mapped = {{"[heap]", {}}, {"[vdso]", {}}, {"socket:[9]", {}}};
  EXPECT_EQ(kinds(tree), Kinds{});
}

TEST(Obstacles, DescriptorsThatNobodyHasTaughtCriu) {
  EXPECT_EQ(kinds(tree_with({descriptor("anon_inode:[io_uring]")})), Kinds{"io_uring"});
  EXPECT_EQ(kinds(tree_with({descriptor("anon_inode:kvm-vm")})), Kinds{"anonymous"});
  EXPECT_EQ(kinds(tree_with({descriptor("anon_inode:")})), Kinds{"anonymous"});
  EXPECT_EQ(kinds(tree_with({descriptor("")})), Kinds{"unknown"});
  EXPECT_EQ(kinds(tree_with({descriptor("net:[99]")})), Kinds{"namespace_outside"});
  auto map = descriptor("anon_inode:bpf-map");
  map.info.bpf_map_type = 27;  // a ring buffer
  EXPECT_EQ(kinds(tree_with({map})), Kinds{"bpf"});
  map.info.bpf_map_type = 2;
  EXPECT_EQ(kinds(tree_with({map})), Kinds{});
}

TEST(Obstacles, Sockets) {
  EXPECT_EQ(kinds(tree_with({descriptor("socket:[1]", "MPTCPv6")})), Kinds{"mptcp"});
  for (const char* kind : {"SCTP", "ALG", "XDP", "CAN_RAW"})
    EXPECT_EQ(kinds(tree_with({descriptor("socket:[1]", kind)})), Kinds{"socket"}) << kind;
  // A kernel that does not tell: the dump will.
  EXPECT_EQ(kinds(tree_with({descriptor("socket:[1]", "")})), Kinds{});
}

TEST(Obstacles, UnixConnections) {
  auto tree = tree_with({descriptor("socket:[1]", "UNIX-STREAM")});
  const auto with = [&](UnixSocket socket) {
    tree.unix_sockets = {{1, socket}};
    return kinds(tree);
  };
  EXPECT_EQ(kinds(tree), Kinds{"unix_outside"});  // not of our namespaces
  EXPECT_EQ(with({.is_connected = true, .peer = 2}), Kinds{"unix_outside"});
  EXPECT_EQ(kinds(tree, {{}, 4711}), Kinds{});  // it lets go by itself
  EXPECT_EQ(with({.is_connected = true, .peer = 1}), Kinds{});
  EXPECT_EQ(with({.is_connected = true}), Kinds{"unix_outside"});  // waits to be accepted there
  EXPECT_EQ(with({.is_connected = true, .asked = 1}), Kinds{});
  EXPECT_EQ(with({.is_connected = true, .is_shut = true}), Kinds{});
  EXPECT_EQ(with({.is_datagram = true, .is_connected = true}), Kinds{});
  EXPECT_EQ(with({}), Kinds{});  // listens
}

TEST(Obstacles, FilesAndDevices) {
  EXPECT_EQ(kinds(tree_with({file(S_IFREG, 1, 1, 999)})), Kinds{"outside_mount"});
  EXPECT_EQ(kinds(tree_with({file(S_IFREG, 0, kNamelessBytesMax)})), Kinds{});
  EXPECT_EQ(kinds(tree_with({file(S_IFREG, 0, kNamelessBytesMax + 512)})), Kinds{"deleted_large"});
  EXPECT_EQ(kinds(tree_with({file(S_IFDIR, 0, 2 * kNamelessBytesMax)})), Kinds{});
  auto renamed = file(S_IFREG, 1, 1);
  renamed.file.named = false;
  EXPECT_EQ(kinds(tree_with({renamed})), Kinds{"deleted_link"});
  const auto device = [](mode_t mode, unsigned major, unsigned minor) {
    auto made = file(mode, 1, 0);
    made.file.node = {major, minor};
    return kinds(tree_with({made}));
  };
  EXPECT_EQ(device(S_IFCHR, 1, 3), Kinds{});
  EXPECT_EQ(device(S_IFCHR, 136, 4), Kinds{});
  EXPECT_EQ(device(S_IFCHR, 4, 1), Kinds{});
  EXPECT_EQ(device(S_IFCHR, 10, 229), Kinds{"device"});
  EXPECT_EQ(device(S_IFCHR, 226, 0), Kinds{"device"});
  EXPECT_EQ(device(S_IFBLK, 1, 3), Kinds{"device"});
}

TEST(Obstacles, Memory) {
  const auto mapped = [](const std::string& path) {
    auto tree = tree_with({});
    tree.processes[0].mapped = {{path, {}}};
    return kinds(tree);
  };
  EXPECT_EQ(mapped("anon_inode:[perf_event]"), Kinds{"perf_event"});
  EXPECT_EQ(mapped("anon_inode:kvm-vcpu:0"), Kinds{"anonymous"});
  EXPECT_EQ(mapped("[uprobes]"), Kinds{"uprobes"});
  EXPECT_EQ(mapped("/[aio] (deleted)"), Kinds{});
  EXPECT_EQ(mapped("/anon_hugepage (deleted)"), Kinds{});
}

TEST(Obstacles, Processes) {
  auto tree = tree_with({});
  tree.processes[0].state = 'T';
  tree.processes[0].tracer = 3;
  EXPECT_EQ(kinds(tree), (Kinds{"traced", "stopped"}));
  tree = tree_with({});
  tree.processes.push_back(tree.processes[0]);
  tree.processes[1].pid = 4712;
  tree.processes[1].namespaces["mnt"] = 50;
  EXPECT_EQ(kinds(tree), Kinds{});
  tree.processes[1].namespaces["net"] = 51;
  tree.processes[1].namespaces["time_for_children"] = 52;
  EXPECT_EQ(kinds(tree), (Kinds{"namespace", "namespace"}));
  tree.processes[1].is_visitor = true;
  tree.processes[1].descriptors = {descriptor("anon_inode:[io_uring]")};
  const auto found = find_obstacles(tree, {});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].kind, "visitor");
  EXPECT_FALSE(found[0].blocks);
}

TEST(Obstacles, OtherUsersWhereCriuCannotDumpThem) {
  auto tree = tree_with({});
  tree.processes[0].ids = {0};
  Provisions provisions;
  provisions.carries_other_users = false;
  EXPECT_EQ(kinds(tree, provisions), Kinds{});
  tree.processes[0].ids = {0, 33};
  EXPECT_EQ(kinds(tree, provisions), Kinds{"user"});
  EXPECT_EQ(kinds(tree), Kinds{});
}

TEST(Obstacles, AUserNamespaceIsNotRestored) {
  auto tree = tree_with({});
  tree.host["user"] = 7;
  tree.processes[0].namespaces["user"] = 7;
  EXPECT_EQ(kinds(tree), Kinds{});
  tree.processes[0].namespaces["user"] = 8;
  EXPECT_EQ(kinds(tree), Kinds{"namespace"});
}

TEST(Obstacles, Mounts) {
  const auto with = [](std::vector<Mount> mounts, const Provisions& provisions = {}) {
    auto tree = tree_with({});
    tree.mounts.insert(tree.mounts.end(), mounts.begin(), mounts.end());
    return kinds(tree, provisions);
  };
  const Mount dev{1, {0, 50}, "/", "/dev", "tmpfs"};
  EXPECT_EQ(with({dev, {2, {0, 50}, "/null", "/proc/keys", "tmpfs"}}), Kinds{});
  EXPECT_EQ(with({{2, {0, 51}, "/null", "/proc/keys", "tmpfs"}}), Kinds{"volume"});
  EXPECT_EQ(with({{2, {8, 1}, "/srv", "/data", "ext4"}}), Kinds{"volume"});
  EXPECT_EQ(with({{2, {8, 1}, "/", "/data", "ext4"}}), Kinds{"volume"});
  EXPECT_EQ(with({{2, {8, 1}, "/srv", "/data", "ext4"}}, {{"/data"}, 0}), Kinds{});
  EXPECT_EQ(with({{2, {8, 1}, "/srv", "/data", "ext4"}, {3, {8, 1}, "/srv/x", "/x", "ext4"}},
                 {{"/data"}, 0}),
            Kinds{});
  EXPECT_EQ(with({{2, {0, 45}, "/part", "/other", "overlay"}}), Kinds{});
  EXPECT_EQ(with({{2, {0, 60}, "/", "/far", "fuse.sshfs"}}), Kinds{"fuse_mount"});
}

TEST(Obstacles, OutsideAContainerTheMountsAreNoNews) {
  auto tree = tree_with({});
  tree.host = inside();
  tree.mounts.push_back({2, {8, 1}, "/", "/home", "ext4"});
  EXPECT_EQ(kinds(tree),
            (Kinds{"not_contained", "not_contained", "not_contained", "not_contained"}));
}

TEST(Obstacles, HostileNamesBecomeLegible) {
  auto bad = file(S_IFREG, 1, 1, 999);
  bad.target = "/a\n\x1b[2J\xff";
  auto tree = tree_with({bad});
  tree.processes[0].name = "caf\xc3\xa9";
  const auto found = find_obstacles(tree, {});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].what.find("/a??[2J? "), 0u) << found[0].what;
  EXPECT_EQ(found[0].process, "caf\xc3\xa9");
  EXPECT_EQ(found[0].to_string().find("caf\xc3\xa9 (pid 1), descriptor 3: "), 0u);
}

TEST(Obstacles, ThereIsALimit) {
  auto tree = tree_with({});
  for (int i = 0; i < 5'000; ++i)
    tree.processes[0].descriptors.push_back(descriptor("anon_inode:[io_uring]"));
  EXPECT_EQ(find_obstacles(tree, {}).size(), 1'000u);
}

TEST(Obstacles, ASummaryNamesTheFirstThatBlock) {
  MovableReport report;
  EXPECT_TRUE(report.movable());
  report.obstacles.push_back({"visitor", 1, 1, "sh", "", "came", "wait", false});
  EXPECT_TRUE(report.movable());
  EXPECT_EQ(summary(report), "");
  for (int i = 0; i < 5; ++i)
    report.obstacles.push_back({"device", 7, 2, "a", "descriptor " + std::to_string(i), "x", "y"});
  EXPECT_FALSE(report.movable());
  EXPECT_EQ(summary(report),
            "a (pid 2), descriptor 0: x; a (pid 2), descriptor 1: x; a (pid 2), descriptor 2: x; "
            "and 2 more");
  EXPECT_EQ(report.to_json().at("obstacles").as_array().size(), 6u);
}

}  // namespace
}  // namespace icon::migration
