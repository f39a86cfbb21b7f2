#include "migration/movable/proc_text.h"

#include <gtest/gtest.h>

#include <string>

namespace icon::migration {
namespace {

using namespace std::string_literals;

TEST(ProcStatus, OfAContainersProcess) {
  const auto status = parse_status(
      "Name:\tredis-server\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t4711\nNgid:\t0\nPid:\t4711\n"
      "PPid:\t4700\nTracerPid:\t12\nUid:\t0\t999\t0\t7\nGid:\t33\t33\t33\t33\nNSpid:\t4711\t7\n");
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(status->name, "redis-server");
  EXPECT_EQ(status->state, 'S');
  EXPECT_EQ(status->parent, 4700);
  EXPECT_EQ(status->tracer, 12);
  EXPECT_EQ(status->inner_ids, (std::vector<int>{4711, 7}));
  EXPECT_EQ(status->ids, (std::set<std::uint32_t>{0, 33, 999}));
}

TEST(ProcStatus, ANameMayHoldAnythingButALineBreak) {
  const auto status = parse_status("Name:\tState:\\nPPid: 1 \xff\nState:\tT (stopped)\nPPid:\t9\n");
  ASSERT_TRUE(status);
  EXPECT_EQ(status->name, "State:\\nPPid: 1 \xff");
  EXPECT_EQ(status->state, 'T');
  EXPECT_EQ(status->parent, 9);
}

TEST(ProcStatus, WhatIsCutOffIsNoStatus) {
  for (const char* text :
       {"", "\n\n", "Name:\tx\n", "State:\tS (sleeping)\n", "PPid:\t1\n", "State:\nPPid:\t1\n",
        "State:\tS\nPPid:\t99999999999999999999\n", "State:\tS\nPPid:\tx\n"})
    EXPECT_FALSE(parse_status(text)) << text;
}

TEST(ProcMaps, EveryKindOfLine) {
  const auto maps = parse_maps(
      "55d0c4a00000-55d0c4a28000 r-xp 00002000 fd:01 1234567                   /usr/bin/a b\n"
      "7f1192731000-7f1192732000 rw-s 00000000 00:10 1038                      "
      "anon_inode:[io_uring]\n"
      "7f11927a0000-7f11927a4000 rw-p 00000000 00:00 0 \n"
      "7ffd1c5f0000-7ffd1c611000 rw-p 00000000 00:00 0                         [stack]\n"
      "7f1192733000-7f1192734000 rw-s 00000000 00:01 98                        /SYSV00000000 "
      "(deleted)\n"
      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                 [vsyscall]\n");
  ASSERT_TRUE(maps) << maps.error().message;
  ASSERT_EQ(maps->size(), 6u);
  EXPECT_EQ((*maps)[0].path, "/usr/bin/a b");
  EXPECT_EQ((*maps)[0].device, (DeviceNumber{0xfd, 1}));
  EXPECT_EQ((*maps)[0].inode, 1234567u);
  EXPECT_EQ((*maps)[1].path, "anon_inode:[io_uring]");
  EXPECT_EQ((*maps)[2].path, "");
  EXPECT_EQ((*maps)[4].path, "/SYSV00000000 (deleted)");
  EXPECT_EQ((*maps)[5].end, 0xffffffffff601000u);
}

TEST(ProcMaps, NonsenseIsRefused) {
  for (const char* text :
       {"x\n", "1000 r--p 0 0:0 0\n", "1000-zz r--p 0 00:00 0\n", "1000-2000 r--p 0 0000 0\n",
        "1000-2000 r--p 0 00:00 -1\n", "1000-2000\n", "1000-10000000000000000 r--p 0 00:00 0\n"})
    EXPECT_FALSE(parse_maps(text)) << text;
  EXPECT_TRUE(parse_maps("")->empty());
}

TEST(ProcMounts, EscapesAndOptionalFields) {
  const auto mounts = parse_mountinfo(
      "36 35 0:45 / / rw,relatime master:1 propagate_from:2 - overlay overlay rw,lowerdir=/a\n"
      "41 36 0:50 /null /proc/ke\\040ys\\134 rw - tmpfs tmpfs rw\n"
      "42 36 8:1 /srv/data /data rw shared:7 - fuse.sshfs host:/ rw\n");
  ASSERT_TRUE(mounts) << mounts.error().message;
  ASSERT_EQ(mounts->size(), 3u);
  EXPECT_EQ((*mounts)[0].type, "overlay");
  EXPECT_EQ((*mounts)[0].device, (DeviceNumber{0, 45}));
  EXPECT_EQ((*mounts)[1].point, "/proc/ke ys\\");
  EXPECT_EQ((*mounts)[1].root, "/null");
  EXPECT_EQ((*mounts)[2].id, 42);
  EXPECT_EQ((*mounts)[2].type, "fuse.sshfs");
}

TEST(ProcMounts, NonsenseIsRefused) {
  for (const char* text : {"\n", "36\n", "36 35 0:45 / / rw", "36 35 0:45 / / rw - \n",
                           "x 35 0:45 / / rw - tmpfs t rw\n", "36 35 45 / / rw - tmpfs t rw\n",
                           "36 35 0:99999999999 / / rw - tmpfs t rw\n"})
    EXPECT_FALSE(parse_mountinfo(text)) << text;
}

TEST(ProcMounts, ThereIsALimit) {
  std::string text;
  for (std::size_t i = 0; i <= kMountsMax; ++i) text += "1 1 0:1 / / rw - tmpfs t rw\n";
  const auto mounts = parse_mountinfo(text);
  ASSERT_FALSE(mounts);
  EXPECT_EQ(mounts.error().code, Code::kLimit);
}

TEST(ProcFdinfo, OfManyKinds) {
  const auto file = parse_fdinfo(
      "pos:\t65536\nflags:\t0100002\nmnt_id:\t101\nino:\t9\n"
      "lock:\t1: LEASE  ACTIVE    WRITE 4711 00:2a:10 0 EOF\n");
  EXPECT_EQ(file.flags, 0100002u);
  EXPECT_EQ(file.mount, 101);
  EXPECT_TRUE(file.has_write_lease);
  EXPECT_FALSE(
      parse_fdinfo("lock:\t1: LEASE  ACTIVE    READ 4711 00:2a:10 0 EOF\n").has_write_lease);
  EXPECT_FALSE(parse_fdinfo("lock:\t1: POSIX  ADVISORY  WRITE 1 00:2a:10 0 EOF\n").has_write_lease);
  EXPECT_EQ(parse_fdinfo("flags:\t02\nPid:\t31881\nNSpid:\t31881\t1\n").process, 31881);
  EXPECT_EQ(parse_fdinfo("Pid:\t-1\n").process, -1);
  EXPECT_EQ(parse_fdinfo("map_type:\t27\nkey_size:\t4\n").bpf_map_type, 27);
}

TEST(ProcFdinfo, Watches) {
  const auto info = parse_fdinfo(
      "pos:\t0\nflags:\t00\n"
      "inotify wd:1 ino:a72113 sdev:10002d mask:100 ignored_mask:0 fhandle-bytes:4 "
      "fhandle-type:f8 f_handle:00ff1d00\n"
      "fanotify ino:12 sdev:2d mflags:0 mask:20 ignored_mask:0 fhandle-bytes:2 fhandle-type:1 "
      "f_handle:0102\n"
      "fanotify flags:0 event-flags:8000\n");
  ASSERT_EQ(info.watches.size(), 2u);
  EXPECT_EQ(info.watches[0].inode, 0xa72113u);
  EXPECT_EQ(info.watches[0].device, (DeviceNumber{1, 0x2d}));
  EXPECT_EQ(info.watches[0].handle_type, 0xf8);
  EXPECT_EQ(info.watches[0].handle, "\x00\xff\x1d\x00"s);
  EXPECT_EQ(info.watches[1].handle, "\x01\x02");
}

TEST(ProcFdinfo, HostileWatches) {
  const std::string start = "inotify wd:1 ino:1 sdev:2 fhandle-bytes:ff fhandle-type:1 f_handle:";
  for (const std::string& handle : {std::string(2 * kHandleBytesMax + 2, '0'), std::string("0"),
                                    std::string("zz"), std::string("-1"), std::string()})
    EXPECT_EQ(parse_fdinfo(start + handle).watches.at(0).handle, "") << handle;
  EXPECT_EQ(parse_fdinfo(start + std::string(2 * kHandleBytesMax, '0')).watches.at(0).handle.size(),
            kHandleBytesMax);
  EXPECT_TRUE(
      parse_fdinfo("inotify wd:1 ino: sdev:2\ninotify \ninotify ino:g sdev:1").watches.empty());
  std::string many;
  for (int i = 0; i < 1'000; ++i) many += "inotify wd:1 ino:1 sdev:2\n";
  EXPECT_EQ(parse_fdinfo(many).watches.size(), kWatchesMax);
  EXPECT_FALSE(parse_fdinfo("mnt_id:\t99999999999999\nflags:\t9").mount);
}

}  // namespace
}  // namespace icon::migration
