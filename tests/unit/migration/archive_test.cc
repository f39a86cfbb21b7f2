#include "migration/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/fd.h"
#include "tests/unit/migration/two_trees.h"

namespace icon::migration {
namespace {

namespace fs = std::filesystem;

class ArchiveTest : public TwoTreesTest {
 protected:
  UniqueFd archive_file() {
    return UniqueFd(open((base_ + "/a.tar").c_str(), O_RDWR | O_CREAT, 0600));
  }
  Result<ArchiveReport> copy() {
    auto file = archive_file();
    const auto written = write_tar(file.get(), {{"upper", source()}}, nullptr);
    if (!written) return written;
    lseek(file.get(), 0, SEEK_SET);
    auto read = read_tar(file.get(), {{"upper", target()}}, {1 << 30});
    if (read) {
      EXPECT_EQ(read->files, written->files);
    }
    return read;
  }

  struct Entry {
    std::string name;
    mode_t type = AE_IFREG;
    std::string link;  // AE_IFLNK: where to; AE_IFREG: the entry it is a hard link to
    std::string content;
    off_t sparse_bytes = 0;  // set: that large, with `content` at its beginning
  };
  // A stream as a peer could make it, extracted into parts "upper" and, if it is there, "run".
  Result<ArchiveReport> extract(const std::vector<Entry>& entries, const std::string& upper = "",
                                std::uint64_t bytes_max = 1 << 20) {
    auto file = UniqueFd(open((base_ + "/evil.tar").c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600));
    archive* out = archive_write_new();
    archive_write_set_format_pax(out);
    archive_write_open_fd(out, file.get());
    for (const auto& entry : entries) write_entry(out, entry);
    archive_write_free(out);
    lseek(file.get(), 0, SEEK_SET);
    std::map<std::string, std::string> parts{{"upper", upper.empty() ? target() : upper}};
    if (fs::exists(base_ + "/run")) parts["run"] = base_ + "/run";
    return read_tar(file.get(), parts, {bytes_max});
  }
  static void write_entry(archive* out, const Entry& from) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, from.name.c_str());
    archive_entry_set_filetype(entry, from.type);
    archive_entry_set_perm(entry, from.type == AE_IFDIR ? 0755 : 0644);
    const auto bytes = static_cast<la_int64_t>(from.content.size());
    archive_entry_set_size(entry, std::max<la_int64_t>(bytes, from.sparse_bytes));
    if (from.sparse_bytes != 0) archive_entry_sparse_add_entry(entry, 0, bytes);
    if (from.type == AE_IFLNK) archive_entry_set_symlink(entry, from.link.c_str());
    if (from.type == AE_IFREG && !from.link.empty())
      archive_entry_set_hardlink(entry, from.link.c_str());
    archive_write_header(out, entry);
    archive_write_data(out, from.content.data(), from.content.size());
    archive_entry_free(entry);
  }
};

TEST_F(ArchiveTest, KeepsWhatAWritableLayerHolds) {
  write_file(source() + "/etc/app.conf", "a=1\n");
  write_file(source() + "/big", std::string(3 << 20, 'x'));
  fs::create_symlink("app.conf", source() + "/etc/link");
  fs::create_hard_link(source() + "/etc/app.conf", source() + "/etc/hard");
  ASSERT_EQ(chmod((source() + "/etc/app.conf").c_str(), 0641), 0);
  ASSERT_EQ(chown((source() + "/etc/app.conf").c_str(), 33, 44), 0);
  ASSERT_EQ(mknod((source() + "/gone").c_str(), S_IFCHR, makedev(0, 0)), 0);  // overlay whiteout
  ASSERT_EQ(mkfifo((source() + "/fifo").c_str(), 0600), 0);
  fs::create_directory(source() + "/opaque");
  ASSERT_EQ(setxattr((source() + "/opaque").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);

  const auto report = copy();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(tree_digest(source()).value(), tree_digest(target()).value());
  EXPECT_EQ(fs::hard_link_count(target() + "/etc/hard"), 2u);
  struct stat info {};
  ASSERT_EQ(lstat((target() + "/gone").c_str(), &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode));
  char value = 0;
  EXPECT_EQ(getxattr((target() + "/opaque").c_str(), "trusted.overlay.opaque", &value, 1), 1);
  EXPECT_EQ(value, 'y');
}

TEST_F(ArchiveTest, TheDigestSeesEveryKindOfChange) {
  write_file(source() + "/a", "1");
  const auto before = tree_digest(source()).value();
  ASSERT_EQ(chmod((source() + "/a").c_str(), 0777), 0);
  const auto after_mode = tree_digest(source()).value();
  EXPECT_NE(before, after_mode);
  write_file(source() + "/a", "2");
  EXPECT_NE(tree_digest(source()).value(), after_mode);
}

TEST_F(ArchiveTest, RefusesPathsThatLeave) {
  for (const std::string name : {"/etc/passwd", "upper/../../evil", "other/file", "./upper/x", ""})
    EXPECT_FALSE(extract({{name, AE_IFREG, "", "evil"}})) << name;
  EXPECT_FALSE(fs::exists(base_ + "/evil"));
}

// A link in the place of the part's directory would lead everything after it out of there.
TEST_F(ArchiveTest, APartIsADirectoryAndStaysOne) {
  write_file(base_ + "/outside/secret", "s");
  for (const std::string name : {"upper", "upper/", "upper//", "upper/.", "upper/./", "./upper"}) {
    for (const auto& entry :
         {Entry{name, AE_IFLNK, base_ + "/outside", ""}, Entry{name, AE_IFREG, "", "evil"},
          Entry{name, AE_IFIFO, "", ""}, Entry{name, AE_IFREG, "upper/x", ""}}) {
      const auto report = extract(
          {{"upper/x", AE_IFREG, "", "x"}, entry, {"upper/secret", AE_IFREG, "", "overwritten"}});
      ASSERT_FALSE(report) << name;
      EXPECT_EQ(report.error().code, Code::kInvalid) << name << ": " << report.error().message;
      EXPECT_TRUE(fs::is_directory(fs::symlink_status(target()))) << name;
    }
  }
  std::ifstream secret(base_ + "/outside/secret");
  std::string content;
  secret >> content;
  EXPECT_EQ(content, "s");
  EXPECT_TRUE(extract({{"upper/", AE_IFDIR, "", ""}, {"upper/a", AE_IFREG, "", "a"}}));
}

TEST_F(ArchiveTest, TheOperatorsOwnLinksStay) {
  fs::create_directories(base_ + "/data/icon/upper");
  fs::create_directory_symlink(base_ + "/data", base_ + "/var");
  const auto report = extract({{"upper/a/b", AE_IFREG, "", "content"}}, base_ + "/var/icon/upper");
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_TRUE(fs::is_symlink(base_ + "/var"));
  EXPECT_TRUE(fs::exists(base_ + "/data/icon/upper/a/b"));
}

TEST_F(ArchiveTest, HardLinksStayInTheirPart) {
  write_file(base_ + "/outside/secret", "s");
  fs::create_directories(base_ + "/run");
  const auto hardlink = [&](const std::string& to) {
    return extract({{"upper/x", AE_IFREG, "", "x"},
                    {"run/y", AE_IFREG, "", "y"},
                    {"upper/way-out", AE_IFLNK, base_ + "/outside", ""},
                    {"upper/h", AE_IFREG, to, ""}});
  };
  EXPECT_TRUE(hardlink("upper/x"));
  for (const std::string to : {"run/y", "upper", "upper/.", "/etc/passwd",
                               "upper/../outside/secret", "upper/way-out/secret"}) {
    fs::remove_all(target());
    fs::create_directory(target());
    EXPECT_FALSE(hardlink(to)) << to;
    EXPECT_FALSE(fs::exists(target() + "/h")) << to;
  }
  EXPECT_EQ(fs::hard_link_count(base_ + "/outside/secret"), 1u);
}

TEST_F(ArchiveTest, KeepsSetIdBitsHolesAndNames) {
  write_file(source() + "/tool", "x");
  ASSERT_EQ(chmod((source() + "/tool").c_str(), 06755), 0);
  ASSERT_EQ(mknod((source() + "/null").c_str(), S_IFCHR | 0600, makedev(1, 3)), 0);
  write_file(source() + "/sparse", "begin");
  ASSERT_EQ(truncate((source() + "/sparse").c_str(), 3 << 20), 0);
  std::ofstream(source() + "/sparse", std::ios::app) << "end";
  write_file(source() + "/hole", "");
  ASSERT_EQ(truncate((source() + "/hole").c_str(), 1 << 20), 0);
  write_file(source() + "/Gr\u00fc\u00dfe", "x");
  const auto report = copy();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(tree_digest(source()).value(), tree_digest(target()).value());
}

// Holes count: whoever claims more than is allowed is refused before anything is made of it.
TEST_F(ArchiveTest, ASparseFileCountsWithItsHoles) {
  const auto bomb = extract({{"upper/bomb", AE_IFREG, "", "x", off_t{1} << 40}});
  ASSERT_FALSE(bomb);
  EXPECT_EQ(bomb.error().code, Code::kLimit);
  EXPECT_FALSE(fs::exists(target() + "/bomb"));
  const off_t half = 10 << 20;  // two of them exceed the limit, one does not
  const auto two =
      extract({{"upper/one", AE_IFREG, "", "x", half}, {"upper/two", AE_IFREG, "", "x", half}}, "",
              15 << 20);
  ASSERT_FALSE(two);
  EXPECT_EQ(two.error().code, Code::kLimit);
  EXPECT_TRUE(extract({{"upper/one", AE_IFREG, "", "x", half}}, "", 15 << 20));
}

TEST_F(ArchiveTest, APartMayHaveALimitOfItsOwn) {
  fs::create_directories(base_ + "/run");
  write_file(source() + "/a", std::string(600, 'x'));
  write_file(source() + "/b", std::string(600, 'x'));
  auto file = archive_file();
  ASSERT_TRUE(write_tar(file.get(), {{"upper", source()}, {"run", source()}}, nullptr));
  const auto extract_within = [&](std::uint64_t run_bytes_max) {
    lseek(file.get(), 0, SEEK_SET);
    ExtractLimits limits;
    limits.bytes_max = 2400;
    limits.parts = {{"run", {run_bytes_max, "a test"}}};
    return read_tar(file.get(), {{"upper", target()}, {"run", base_ + "/run"}}, limits);
  };
  EXPECT_TRUE(extract_within(1200));
  const auto refused = extract_within(1199);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kLimit);
  EXPECT_EQ(refused.error().message,
            "part 'run' of the archive holds more than 1199 bytes, the limit of a test");
}

TEST_F(ArchiveTest, RefusesToWriteThroughALink) {
  fs::create_directory(base_ + "/outside");
  fs::create_directory_symlink(base_ + "/outside", target() + "/dir");
  write_file(source() + "/dir/file", "x");
  auto file = archive_file();
  const std::set<std::string> only{"dir/file"};
  ASSERT_TRUE(write_tar(file.get(), {{"upper", source(), &only}}, nullptr));
  lseek(file.get(), 0, SEEK_SET);
  (void)read_tar(file.get(), {{"upper", target()}}, {1 << 20});
  EXPECT_FALSE(fs::exists(base_ + "/outside/file"));
}

TEST_F(ArchiveTest, KeepsToItsLimits) {
  write_file(source() + "/big", std::string(1 << 20, 'x'));
  auto file = archive_file();
  ASSERT_TRUE(write_tar(file.get(), {{"upper", source()}}, nullptr));
  lseek(file.get(), 0, SEEK_SET);
  EXPECT_EQ(read_tar(file.get(), {{"upper", target()}}, {1 << 19}).error().code, Code::kLimit);
  ASSERT_EQ(ftruncate(file.get(), 300'000), 0);  // a truncated stream is an error, not half a tree
  lseek(file.get(), 0, SEEK_SET);
  EXPECT_FALSE(read_tar(file.get(), {{"upper", target()}}, {1 << 30}));
}

TEST_F(ArchiveTest, DifferenceNamesChangedAndRemoved) {
  write_file(source() + "/same", "1");
  write_file(source() + "/changes", "1");
  write_file(source() + "/goes/away", "1");
  const auto before = scan_tree(source()).value();
  write_file(source() + "/changes", "22");
  fs::remove_all(source() + "/goes");
  write_file(source() + "/comes", "1");
  const auto delta = difference(before, scan_tree(source()).value());
  EXPECT_EQ(delta.changed, (std::set<std::string>{"changes", "comes"}));
  EXPECT_EQ(delta.removed, (std::vector<std::string>{"goes", "goes/away"}));
  EXPECT_FALSE(remove_paths(source(), {"../target"}));
  EXPECT_TRUE(remove_paths(source(), {"same", "not-there"}));
  EXPECT_FALSE(fs::exists(source() + "/same"));
}

}  // namespace
}  // namespace icon::migration
