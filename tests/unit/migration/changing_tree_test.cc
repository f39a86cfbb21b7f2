// Trees that change while they are listed, sent and compared: what stays must arrive, what has gone
// must not, and no link leads out.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/fd.h"
#include "migration/archive.h"
#include "tests/unit/migration/two_trees.h"

namespace icon::migration {
namespace {

namespace fs = std::filesystem;

constexpr int kStableDirectories = 40;
constexpr int kStableFilesEach = 100;
constexpr int kListings = 20;

class ChangingTreeTest : public TwoTreesTest {
 protected:
  static std::string read_file(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Sends `paths` of the source's tree to the target.
  Status send(const std::set<std::string>& paths) {
    char name[] = "/tmp/icon-changing-tree-tar.XXXXXX";
    UniqueFd file(mkstemp(name));
    unlink(name);
    const auto written = write_tar(file.get(), {{"upper", source(), &paths}}, nullptr);
    if (!written) return fail(written.error());
    lseek(file.get(), 0, SEEK_SET);
    const auto read = read_tar(file.get(), {{"upper", target()}}, {1 << 30});
    return read ? Status() : Status(fail(read.error()));
  }
  // What a move does with a layer: sends what `staged` names while it changes, then, when all is
  // still, what is different by then.
  Status send_rest(const TreeSnapshot& staged) {
    ICON_TRY(const auto now, scan_tree(source()));
    const auto delta = difference(staged, now);
    ICON_CHECK(send(delta.changed));
    return remove_paths(target(), delta.removed);
  }
  std::string digest_of(const std::string& tree) { return tree_digest(tree).value_or("no digest"); }
};

// Makes, renames and removes directories in `place` until the object is destroyed.
class Restless {
 public:
  explicit Restless(std::string place)
      : thread_([this, place = std::move(place)] {
          for (int turn = 0; !stop_; turn = (turn + 1) % 50) {
            const std::string name = place + "/aside" + std::to_string(turn);
            std::error_code ignored;
            fs::create_directories(name + "/below/deeper", ignored);
            fs::rename(name + "/below", name + "/moved", ignored);
            fs::remove_all(name, ignored);
          }
        }) {}
  ~Restless() {
    stop_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

TEST_F(ChangingTreeTest, WhatStaysIsListedWhateverVanishesBesideIt) {
  std::set<std::string> stable;
  for (int i = 0; i < kStableDirectories; ++i)
    for (int k = 0; k < kStableFilesEach; ++k) {
      const std::string path = "d" + std::to_string(i) + "/f" + std::to_string(k);
      write_file(source() + "/" + path, "x");
      stable.insert(path);
    }
  Restless beside(source());
  Restless between(source() + "/d20");
  for (int i = 0; i < kListings; ++i) {
    const auto found = scan_tree(source());
    ASSERT_TRUE(found) << found.error().message;
    std::size_t missing = 0;
    for (const auto& path : stable) missing += found->contains(path) ? 0 : 1;
    ASSERT_EQ(missing, 0u) << "in listing " << i;
  }
}

TEST_F(ChangingTreeTest, WhatAppearedAndWentMeanwhileIsNotAtTheDestination) {
  write_file(source() + "/data/rows", "1");
  const auto staged = scan_tree(source()).value();
  write_file(source() + "/data/rows-journal", "undo");
  ASSERT_TRUE(send(paths_of(staged)));
  fs::remove(source() + "/data/rows-journal");
  const auto sent = send_rest(staged);
  ASSERT_TRUE(sent) << sent.error().message;
  EXPECT_FALSE(fs::exists(target() + "/data/rows-journal"));
  EXPECT_EQ(digest_of(source()), digest_of(target()));
}

TEST_F(ChangingTreeTest, WhatVanishedOrBecameSomethingElseIsPutRightInTheEnd) {
  write_file(source() + "/vanishes", "1");
  write_file(source() + "/goes/away", "1");
  write_file(source() + "/directory/becomes", "a link");
  write_file(source() + "/folder/turns/into", "a file");
  write_file(source() + "/file", "becomes a directory");
  write_file(source() + "/stays", "1");
  const auto staged = scan_tree(source()).value();
  fs::remove(source() + "/vanishes");
  fs::remove_all(source() + "/goes");
  fs::rename(source() + "/directory", source() + "/elsewhere");
  fs::create_directory_symlink("elsewhere", source() + "/directory");
  fs::remove_all(source() + "/folder");
  write_file(source() + "/folder", "a file");
  fs::remove(source() + "/file");
  write_file(source() + "/file/now", "a directory");
  auto sent = send(paths_of(staged));
  ASSERT_TRUE(sent) << sent.error().message;
  sent = send_rest(staged);
  ASSERT_TRUE(sent) << sent.error().message;
  EXPECT_EQ(digest_of(source()), digest_of(target()));
}

// The same, after everything had been sent: the target has other things in these places.
TEST_F(ChangingTreeTest, ADirectoryGivesWayToALinkAndItsFilesAreNotSoughtBehindIt) {
  write_file(source() + "/current/program", "old");
  write_file(source() + "/releases/new/program", "new");
  write_file(source() + "/folder/deep/file", "1");
  write_file(source() + "/file", "becomes a directory");
  const auto staged = scan_tree(source()).value();
  ASSERT_TRUE(send(paths_of(staged)));
  fs::remove_all(source() + "/current");
  fs::create_directory_symlink("releases/new", source() + "/current");
  fs::remove_all(source() + "/folder");
  write_file(source() + "/folder", "a file");
  fs::remove(source() + "/file");
  write_file(source() + "/file/now", "a directory");
  const auto sent = send_rest(staged);
  ASSERT_TRUE(sent) << sent.error().message;
  EXPECT_EQ(read_file(target() + "/releases/new/program"), "new");
  EXPECT_EQ(digest_of(source()), digest_of(target()));
}

// A tenant may put a link in the place of a directory between the listing and the reading.
TEST_F(ChangingTreeTest, NothingBehindALinkIsSentOrRemoved) {
  write_file(source() + "/a/secret", "mine");
  write_file(base_ + "/outside/secret", "the host's");
  fs::remove_all(source() + "/a");
  fs::create_directory_symlink(base_ + "/outside", source() + "/a");
  ASSERT_TRUE(send({"a/secret"}));
  EXPECT_FALSE(fs::exists(target() + "/a"));
  ASSERT_TRUE(remove_paths(source(), {"a/secret"}));
  EXPECT_EQ(read_file(base_ + "/outside/secret"), "the host's");
}

TEST_F(ChangingTreeTest, DirectoriesMayBeMovedAsideInPlaceOfBeingRemoved) {
  write_file(source() + "/a/b/file", "1");
  write_file(source() + "/a/file", "2");
  write_file(source() + "/file", "3");
  ASSERT_TRUE(remove_paths(source(), {"a", "a/b", "a/b/file", "a/file", "file"}, base_ + "/aside"));
  EXPECT_TRUE(fs::is_empty(source()));
  EXPECT_EQ(read_file(base_ + "/aside/0/b/file"), "1");
  EXPECT_EQ(read_file(base_ + "/aside/0/file"), "2");
}

TEST_F(ChangingTreeTest, ATreeThatIsNotThereIsAnError) {
  EXPECT_FALSE(scan_tree(base_ + "/nothing"));
  write_file(base_ + "/file", "x");
  EXPECT_FALSE(scan_tree(base_ + "/file"));
}

}  // namespace
}  // namespace icon::migration
