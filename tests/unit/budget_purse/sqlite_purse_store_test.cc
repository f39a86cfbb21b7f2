#include "budget/purse/sqlite_purse_store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/fd.h"

namespace icon::budget {
namespace {

constexpr UtcMillis kNow = 1'700'000'000'000;
constexpr UtcMillis kLater = kNow + 60'000'000;

class SqlitePurseStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    // In memory: processes are killed here, no host loses power, and a busy disk takes 50 ms per
    // fsync.
    char name[] = "/dev/shm/icon-purse-test-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    path_ = directory_ + "/purse.db";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  SqlitePurseStore make() {
    auto store = SqlitePurseStore::create(path_);
    EXPECT_TRUE(store) << store.error().message;
    return *store;
  }
  void sql(const std::string& statement) {
    SQLite::Database database(path_, SQLite::OPEN_READWRITE);
    database.exec(statement);
  }
  Code open_code() {
    auto store = SqlitePurseStore::open(path_);
    if (!store) return store.error().code;
    auto purse = Purse::open(*store);
    EXPECT_FALSE(purse) << "a damaged purse was believed";
    return purse ? Code::kInternal : purse.error().code;
  }

  std::string directory_;
  std::string path_;
};

TEST_F(SqlitePurseStoreTest, KeepsThePurse) {
  auto store = make();
  PurseState before;
  {
    auto purse = *Purse::create(store, 1'000, kNow);
    ASSERT_TRUE(purse.hold("a'; DROP TABLE purse; --", 300, kLater, kNow));
    ASSERT_TRUE(purse.settle("a'; DROP TABLE purse; --", 200, kNow));
    ASSERT_TRUE(purse.hold(std::string("b\0c", 3), 100, kLater, kNow));
    before = purse.state();
  }
  auto again = *SqlitePurseStore::open(path_);
  EXPECT_EQ(Purse::open(again)->state(), before);
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

// The process is checkpointed at any moment: between two operations it holds nothing open.
TEST_F(SqlitePurseStoreTest, HoldsNoDescriptor) {
  auto store = make();
  auto purse = *Purse::create(store, 1'000, kNow);
  ASSERT_TRUE(purse.hold("a", 300, kLater, kNow));
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    const auto target = std::filesystem::read_symlink(entry.path(), ignored).string();
    EXPECT_EQ(target.find(directory_), std::string::npos) << target;
  }
}

TEST_F(SqlitePurseStoreTest, IsMadeOnce) {
  auto store = make();
  ASSERT_TRUE(Purse::create(store, 1'000, kNow));
  EXPECT_EQ(SqlitePurseStore::create(path_).error().code, Code::kConflict);
  EXPECT_EQ(Purse::create(store, 1'000, kNow).error().code, Code::kConflict);
}

TEST_F(SqlitePurseStoreTest, AMissingFileIsNoFreshPurse) {
  EXPECT_EQ(SqlitePurseStore::open(path_).error().code, Code::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(path_));
  auto store = make();
  ASSERT_TRUE(Purse::create(store, 1'000, kNow));
  std::filesystem::remove(path_);
  EXPECT_EQ(store.load().error().code, Code::kNotFound);
  EXPECT_EQ(store.append({2, PurseEntry::Kind::kHold, "a", 1, kNow, kLater}).error().code,
            Code::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(SqlitePurseStoreTest, AnEmptyOrForeignFileIsRefused) {
  std::ofstream(path_).close();
  EXPECT_EQ(open_code(), Code::kInvalid);
  std::ofstream(path_) << "not a database, by far: " << std::string(5000, 'x');
  EXPECT_EQ(open_code(), Code::kInvalid);
  std::filesystem::remove(path_);
  {
    SQLite::Database database(path_, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    database.exec("CREATE TABLE purse (sequence INTEGER PRIMARY KEY)");
  }
  EXPECT_EQ(open_code(), Code::kInvalid);
}

TEST_F(SqlitePurseStoreTest, TruncationAtAnyLengthIsNoticed) {
  auto store = make();
  {
    auto purse = *Purse::create(store, 1'000'000, kNow);
    for (int i = 0; i < 100; ++i)
      ASSERT_TRUE(purse.hold("hold number " + std::to_string(i), 10, kLater, kNow));
  }
  const auto size = std::filesystem::file_size(path_);
  for (const std::uintmax_t part : {0, 1, 10, 25, 50, 75, 99}) {
    std::filesystem::resize_file(path_, size * part / 100);
    EXPECT_EQ(open_code(), Code::kInvalid) << part << " %";
    std::filesystem::remove(path_);
    auto fresh = make();
    auto purse = *Purse::create(fresh, 1'000'000, kNow);
    for (int i = 0; i < 100; ++i)
      ASSERT_TRUE(purse.hold("hold number " + std::to_string(i), 10, kLater, kNow));
  }
}

// Every byte that matters: after a flip the purse is refused or unchanged, never another one.
TEST_F(SqlitePurseStoreTest, FlippedBytesNeverGiveAnotherPurse) {
  auto store = make();
  PurseState before;
  {
    auto purse = *Purse::create(store, 1'000'000, kNow);
    for (int i = 0; i < 5; ++i)
      ASSERT_TRUE(purse.hold("hold " + std::to_string(i), 10, kLater, kNow));
    before = purse.state();
  }
  std::ifstream in(path_, std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), {});
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int i = 0; i < 400; ++i) {
    std::string bad = good;
    const auto at = random() % bad.size();
    bad[at] = static_cast<char>(bad[at] ^ (1 + random() % 255));
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bad;
    auto opened = SqlitePurseStore::open(path_);
    if (!opened) continue;
    auto purse = Purse::open(*opened);
    if (!purse) continue;
    ASSERT_EQ(purse->state(), before) << "byte " << at;
  }
}

TEST_F(SqlitePurseStoreTest, ChangedLinesAreNoticed) {
  const auto fresh = [&] {
    std::filesystem::remove(path_);
    auto store = make();
    auto purse = *Purse::create(store, 1'000, kNow);
    ASSERT_TRUE(purse.hold("a", 300, kLater, kNow));
    ASSERT_TRUE(purse.hold("b", 300, kLater, kNow));
    ASSERT_TRUE(purse.settle("a", 300, kNow));
  };
  for (const char* statement :
       {"UPDATE purse SET amount=1000000 WHERE sequence=1", "UPDATE purse SET id='x' WHERE id='b'",
        "DELETE FROM purse WHERE sequence=2", "DELETE FROM purse WHERE sequence=1",
        "UPDATE purse SET kind='release' WHERE sequence=4",
        "UPDATE purse SET kind='gift' WHERE sequence=4",
        "UPDATE purse SET sequence=9 WHERE sequence=4",
        "INSERT INTO purse VALUES (5,'release','b',0,0,0,'00')", "DROP TABLE purse",
        "PRAGMA user_version=2", "PRAGMA application_id=1"}) {
    fresh();
    sql(statement);
    EXPECT_EQ(open_code(), Code::kInvalid) << statement;
  }
}

TEST_F(SqlitePurseStoreTest, TwoWritersCannotSpendTheSameMoney) {
  auto store = make();
  auto first = *Purse::create(store, 1'000, kNow);
  auto other = *SqlitePurseStore::open(path_);
  auto second = *Purse::open(other);
  EXPECT_TRUE(first.hold("a", 900, kLater, kNow));
  EXPECT_EQ(second.hold("b", 900, kLater, kNow).error().code, Code::kConflict);
  EXPECT_EQ(second.hold("b", 900, kLater, kNow).error().code, Code::kLimit);
}

TEST_F(SqlitePurseStoreTest, AHalfMadePurseDoesNotStandInTheWay) {
  std::ofstream(path_ + ".new") << "left over";
  auto store = make();
  EXPECT_TRUE(Purse::create(store, 1'000, kNow));
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
}

// A child spends as fast as it can and says what it was told is durable; the parent kills it at a
// random moment. Whatever the child was told must be there, at most one step more may be, and the
// sum never exceeds the budget.
class PurseCrash : public SqlitePurseStoreTest {
 protected:
  static constexpr MicroCredits kBudget = 10'000;
  static constexpr MicroCredits kPrice = 7;

  // What crosses the pipe after each durable step.
  struct Told {
    std::int64_t sequence;
    MicroCredits spent;
    MicroCredits held;
  };

  [[noreturn]] void spend(int pipe_fd) {
    auto store = SqlitePurseStore::open(path_);
    if (!store) _exit(2);
    auto purse = Purse::open(*store);
    if (!purse) _exit(3);
    const auto tell = [&] {
      const Told told{purse->state().sequence(), purse->state().spent(), purse->state().held()};
      if (write(pipe_fd, &told, sizeof told) != static_cast<ssize_t>(sizeof told)) _exit(4);
    };
    tell();
    for (;;) {
      const std::string id = "slot " + std::to_string(purse->state().sequence());
      const auto held = purse->hold(id, kPrice, kLater, kNow);
      if (!held) _exit(held.error().code == Code::kLimit ? 0 : 5);
      tell();
      if (!(purse->state().sequence() % 3 == 0 ? purse->release(id, kNow)
                                               : purse->settle(id, kPrice, kNow)))
        _exit(6);
      tell();
    }
  }
};

TEST_F(PurseCrash, NoDoubleSpendWhenKilledAnywhere) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  {
    auto store = make();
    ASSERT_TRUE(Purse::create(store, kBudget, kNow));
  }
  int killed = 0;
  int in_the_middle = 0;  // a transaction was open: SQLite rolls it back on the next opening
  for (int round = 0; round < 40; ++round) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    UniqueFd reading(ends[0]);
    UniqueFd writing(ends[1]);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      reading.reset();
      spend(writing.get());
    }
    writing.reset();
    const int steps = 1 + static_cast<int>(random() % 12);
    Told last{};
    bool any = false;
    for (int i = 0; i < steps; ++i) {
      if (read(reading.get(), &last, sizeof last) != static_cast<ssize_t>(sizeof last)) break;
      any = true;
    }
    // About as long as one step takes, so that the kill comes at any line of it.
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 1'000);
    while (std::chrono::steady_clock::now() < until) {
    }
    kill(child, SIGKILL);
    for (Told more; read(reading.get(), &more, sizeof more) == static_cast<ssize_t>(sizeof more);)
      last = more;
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) ++killed;
    if (std::filesystem::exists(path_ + "-journal")) ++in_the_middle;
    ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    ASSERT_TRUE(any);

    auto store = SqlitePurseStore::open(path_);
    ASSERT_TRUE(store) << store.error().message;
    auto purse = Purse::open(*store);
    ASSERT_TRUE(purse) << purse.error().message;
    const auto& state = purse->state();
    ASSERT_GE(state.sequence(), last.sequence) << "a durable step was lost";
    ASSERT_LE(state.sequence(), last.sequence + 1);
    if (state.sequence() == last.sequence) {
      ASSERT_EQ(state.spent(), last.spent);
      ASSERT_EQ(state.held(), last.held);
    }
    ASSERT_LE(state.spent() + state.held(), kBudget);
    // What the dead child held comes back; what it paid stays paid.
    for (const auto& [id, hold] : state.holds())
      if (hold.state == Hold::State::kHeld) {
        ASSERT_TRUE(purse->release(id, kNow));
        break;
      }
    ASSERT_EQ(purse->state().held(), 0);
  }
  EXPECT_GT(killed, 20);
  RecordProperty("killed_in_a_transaction", in_the_middle);
}

// The same without luck: one hold and one settlement, killed before every system call that they
// make and after every one, so that each state the disk can be left in is seen.
TEST_F(PurseCrash, NoDoubleSpendWhenKilledAtEverySystemCall) {
  int in_the_middle = 0;
  bool finished = false;
  int stops = 0;
  for (; !finished; ++stops) {
    ASSERT_LT(stops, 2'000);
    std::filesystem::remove(path_);
    {
      auto store = make();
      auto purse = *Purse::create(store, 10, kNow);
      ASSERT_TRUE(purse.hold("old", 1, kLater, kNow));
    }
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto store = SqlitePurseStore::open(path_);
      auto purse = Purse::open(*store);
      ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
      raise(SIGSTOP);
      const bool done = purse->hold("new", 9, kLater, kNow) && purse->settle("new", 8, kNow);
      _exit(done ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSTOPPED(status));
    for (int i = 0; i < stops && WIFSTOPPED(status); ++i) {
      ASSERT_EQ(ptrace(PTRACE_SYSCALL, child, nullptr, nullptr), 0);
      ASSERT_EQ(waitpid(child, &status, 0), child);
    }
    finished = WIFEXITED(status);
    if (finished) {
      ASSERT_EQ(WEXITSTATUS(status), 0);
    } else {
      kill(child, SIGKILL);
      ASSERT_EQ(waitpid(child, &status, 0), child);
    }
    if (std::filesystem::exists(path_ + "-journal")) ++in_the_middle;

    auto store = SqlitePurseStore::open(path_);
    ASSERT_TRUE(store) << "stop " << stops << ": " << store.error().message;
    auto purse = Purse::open(*store);
    ASSERT_TRUE(purse) << "stop " << stops << ": " << purse.error().message;
    // Nothing, the hold, or the hold and its settlement: and never 10 credits more.
    const auto& state = purse->state();
    const bool nothing = state.spent() == 0 && state.held() == 1;
    const bool held = state.spent() == 0 && state.held() == 10;
    const bool settled = state.spent() == 8 && state.held() == 1;
    ASSERT_TRUE(nothing || held || settled)
        << "stop " << stops << ": spent " << state.spent() << ", held " << state.held();
    // The agent comes back and does it again: the same end, whatever happened.
    if (state.spent() == 0) {
      ASSERT_TRUE(purse->hold("new", 9, kLater, kNow)) << "stop " << stops;
    }
    ASSERT_TRUE(purse->settle("new", 8, kNow)) << "stop " << stops;
    ASSERT_EQ(purse->state().spent(), 8);
    ASSERT_EQ(purse->state().held(), 1);
    ASSERT_FALSE(std::filesystem::exists(path_ + "-journal"));
  }
  EXPECT_GT(stops, 50);
  EXPECT_GT(in_the_middle, 10);
}

TEST_F(SqlitePurseStoreTest, SharesAreStillThereAfterwards) {
  {
    auto store = *SqlitePurseStore::create(path_);
    auto purse = *Purse::create(store, 1'000, kNow);
    ASSERT_TRUE(purse.share("child", 400, kNow));
    ASSERT_TRUE(purse.grant("parent", 50, kNow));
    ASSERT_TRUE(purse.give_back({"parent", "root"}, 20, kNow));
    ASSERT_TRUE(purse.credit({"child", "child", "self"}, 100, kNow));
  }
  auto store = *SqlitePurseStore::open(path_);
  const auto purse = *Purse::open(store);
  EXPECT_EQ(purse.state().budget(), 1'030);
  EXPECT_EQ(purse.state().shared(), 300);
  EXPECT_EQ(purse.available(), 730);
}

}  // namespace
}  // namespace icon::budget
