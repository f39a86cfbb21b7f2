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

namespace icon::migration {
namespace {

namespace fs = std::filesystem;

class ArchiveTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/icon-archive-test.XXXXXX";
    base_ = mkdtemp(name);
    fs::create_directories(source());
    fs::create_directories(target());
  }
  void TearDown() override { fs::remove_all(base_); }

  std::string source() const { return base_ + "/source"; }
  std::string target() const { return base_ + "/target"; }
  void write_file(const std::string& path, const std::string& content) {
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path) << content;
  }
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

  std::string base_;
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
  for (const std::string name : {"/etc/passwd", "upper/../../evil", "other/file", ""}) {
    auto file = UniqueFd(open((base_ + "/evil.tar").c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600));
    archive* out = archive_write_new();
    archive_write_set_format_pax(out);
    archive_write_open_fd(out, file.get());
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, 4);
    archive_write_header(out, entry);
    archive_write_data(out, "evil", 4);
    archive_entry_free(entry);
    archive_write_free(out);
    lseek(file.get(), 0, SEEK_SET);
    const auto report = read_tar(file.get(), {{"upper", target()}}, {1 << 20});
    EXPECT_FALSE(report) << name;
  }
  EXPECT_FALSE(fs::exists(base_ + "/evil"));
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
