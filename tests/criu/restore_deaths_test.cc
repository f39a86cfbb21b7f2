// Deaths in the middle of a restore: criu, who holds it, icon-pages or processes of the tree die by
// SIGKILL at seeded random moments. Whoever it was, the restore ends, by its limit at the latest
// (CRIU overlooks a death now and then), and nobody is left in the control group.
//
//   export ICON_DEATHS=200 ICON_SEED=7 ICON_VICTIM=one
//   build/dev/bin/restore_deaths_test
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <random>
#include <thread>

#include "base/file.h"
#include "migration/memory/page_daemon.h"
#include "tests/criu/cage.h"
#include "tests/criu/dump_apart.h"

namespace icon::migration {
namespace {

namespace fs = std::filesystem;

constexpr Millis kDumpLimit{30'000};
constexpr Millis kRestoreLimit{10'000};
constexpr std::uint64_t kPagesBytesMax = 1 << 28;

// Of the control group: criu itself, who holds the tree, one, some, all that a look shows. And
// icon-pages, which is not in it.
enum class Victim { kCriu, kHelper, kOne, kSome, kAll, kPages };
constexpr const char* kNames[] = {"criu", "helper", "one", "some", "all", "pages"};
const char* name_of(Victim victim) { return kNames[static_cast<int>(victim)]; }

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string of_process(int pid, const char* file) {
  return read_file("/proc/" + std::to_string(pid) + file, 1 << 16).value_or("");
}

bool is_our_child(int pid) {
  return of_process(pid, "/status").find(fmt::format("PPid:\t{}\n", getpid())) != std::string::npos;
}

Micros since(SteadyTime start) {
  return std::chrono::duration_cast<Micros>(std::chrono::steady_clock::now() - start);
}

class RestoreDeaths : public ::testing::TestWithParam<bool> {
 protected:
  using Random = std::mt19937_64;

  void SetUp() override {
    random_.seed(seed_);
    Cage::Options options;
    options.animal = "crowd";
    auto cage = Cage::create(options);
    ASSERT_TRUE(cage) << cage.error().message;
    cage_ = std::move(*cage);
    const auto dumped = is_apart() ? cage_->run(dump_apart()) : cage_->dump(kDumpLimit);
    ASSERT_TRUE(dumped) << dumped.error().message;
    expect_nobody();
  }
  void TearDown() override {
    if (killer_.joinable()) killer_.join();
  }

  bool is_apart() const { return GetParam(); }
  const supervisor::Cgroup& group() const { return cage_->cgroup(); }

  // Afterwards the pages are in a buffer, from which any number of restores may have them.
  Task<Status> dump_apart() {
    auto take = [this](std::span<const char> bytes) -> Task<Status> {
      pages_.append(bytes.data(), bytes.size());
      co_return Status{};
    };
    co_return co_await test::dump_apart(*cage_, std::move(take));
  }

  Task<Result<std::shared_ptr<PageDaemon>>> start_pages(std::string work_dir) {
    unlink((work_dir + "/lazy-pages.socket").c_str());  // of the round before
    ICON_CO_TRY(auto daemon,
                PageDaemon::start(co_await boost::asio::this_coro::executor,
                                  fs::read_symlink("/proc/self/exe").parent_path() / "icon-pages",
                                  work_dir, kPagesBytesMax, group().freezer_directory()));
    ICON_CO_CHECK(co_await daemon->write(pages_));
    ICON_CO_CHECK(co_await daemon->received());
    co_return daemon;
  }

  // As a destination does it. `meanwhile` is called when the images are there.
  Task<Status> restore(bool is_wanted, std::function<void(PreparedRestore&)> meanwhile) {
    auto request = cage_->restore_request();
    request.memory_apart = is_apart();
    request.timeout = kRestoreLimit;
    std::shared_ptr<PageDaemon> pages;
    if (is_apart()) {
      ICON_CO_TRY(pages, co_await start_pages(request.work_dir));
    }
    ICON_CO_TRY(auto prepared, co_await cage_->checkpointer().prepare_restore(std::move(request)));
    if (pages) ICON_CO_CHECK(co_await pages->check());
    for (const int pid : targets(Victim::kCriu, random_)) criu_pids_.push_back(pid);
    meanwhile(*prepared);
    const auto start = std::chrono::steady_clock::now();
    auto held = co_await prepared->restore();
    Status outcome = held ? Status{} : Status(fail(held.error()));
    prepared.reset();
    if (held && is_wanted) outcome = co_await (*held)->release();
    if (held && !is_wanted) co_await (*held)->abort();
    took_ = since(start);
    if (pages) pages->stop();
    co_return outcome;
  }

  std::vector<int> page_servers() const {
    std::vector<int> found;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const int pid = std::atoi(entry.path().filename().c_str());
      if (pid > 0 && of_process(pid, "/comm") == "icon-pages\n" &&
          of_process(pid, "/cmdline").find(cage_->directory()) != std::string::npos)
        found.push_back(pid);
    }
    return found;
  }

  std::vector<int> targets(Victim victim, Random random) const {
    if (victim == Victim::kPages) return page_servers();
    auto pids = group().processes();
    std::shuffle(pids.begin(), pids.end(), random);
    if (victim == Victim::kOne) pids.resize(std::min<std::size_t>(pids.size(), 1));
    std::erase_if(pids, [&](int pid) {
      if (victim == Victim::kCriu) return !is_our_child(pid);
      if (victim == Victim::kHelper) return of_process(pid, "/comm") != "icon-criu-hold\n";
      return victim == Victim::kSome && random() % 2 == 0;
    });
    return pids;
  }

  Victim any_victim() {
    const char* only = std::getenv("ICON_VICTIM");
    for (;;) {
      const auto victim = static_cast<Victim>(random_() % (is_apart() ? 6 : 5));
      if (only == nullptr || std::string_view(only) == name_of(victim)) return victim;
    }
  }

  // One restore with one death in it. Returns what it came to, for the tally.
  std::string one_death(Micros window) {
    const auto victim = any_victim();
    const bool is_wanted = random_() % 2 == 0;
    const Micros after(static_cast<std::int64_t>(random_() % (window.count() * 5 / 4)));
    SCOPED_TRACE(fmt::format("seed {}: {} dies {} us after the beginning, of {}; it is {}", seed_,
                             name_of(victim), after.count(), window.count(),
                             is_wanted ? "let run" : "given up"));
    EXPECT_TRUE(group().create({}));
    int hits = 0;
    const auto outcome = cage_->run(restore(is_wanted, [&](PreparedRestore&) {
      killer_ = std::thread([this, victim, after, random = Random(random_()), &hits] {
        std::this_thread::sleep_for(after);  // the moment is the test's subject
        for (const int pid : targets(victim, random)) hits += kill(pid, SIGKILL) == 0;
      });
    }));
    killer_.join();
    EXPECT_TRUE(outcome || hits > 0) << outcome.error().message;
    expect_nobody();
    const bool is_late = !outcome && outcome.error().code == Code::kTimeout;
    return fmt::format("{} {}: {}", name_of(victim), hits > 0 ? "hit" : "missed",
                       outcome   ? "restored"
                       : is_late ? "timed out"
                                 : "failed");
  }

  void expect_nobody() {
    const auto clear = [this]() -> Task<Status> {
      ICON_CO_CHECK(co_await group().kill_all());
      co_return co_await group().remove();
    };
    const auto cleared = cage_->run(clear());
    EXPECT_TRUE(cleared) << cleared.error().message;
    for (const int pid : group().processes())
      ADD_FAILURE() << pid << " is left: " << of_process(pid, "/status")
                    << of_process(pid, "/stack");
    for (const auto& entry : fs::directory_iterator("/tmp"))
      for (const int pid : criu_pids_)
        EXPECT_FALSE(
            entry.path().filename().string().starts_with(fmt::format(".criu.mntns.{}.", pid)))
            << entry.path();
    criu_pids_.clear();
  }

  const std::uint64_t seed_ = from_environment("ICON_SEED", std::random_device{}());
  Random random_;
  std::unique_ptr<Cage> cage_;
  std::string pages_;
  std::vector<int> criu_pids_;  // of the round
  Micros took_{0};
  std::thread killer_;
};

TEST_P(RestoreDeaths, EndItAndLeaveNobody) {
  ASSERT_TRUE(group().create({}));
  const auto whole = cage_->run(restore(true, [](PreparedRestore&) {}));
  ASSERT_TRUE(whole) << whole.error().message;
  expect_nobody();
  const auto window = took_;
  std::map<std::string, int> ends;
  const auto rounds = from_environment("ICON_DEATHS", 20);
  for (std::uint64_t i = 0; i < rounds && !HasFailure(); ++i) ++ends[one_death(window)];
  std::cout << fmt::format("seed {}: {} deaths within {} us:", seed_, rounds, window.count());
  for (const auto& [end, count] : ends) std::cout << ' ' << count << ' ' << end << ';';
  std::cout << std::endl;
}

// A criu that neither goes on nor ends, as far as anybody can see.
TEST_P(RestoreDeaths, WhatIsGivenUpEndsAtOnce) {
  ASSERT_TRUE(group().create({}));
  const auto outcome = cage_->run(restore(true, [this](PreparedRestore& prepared) {
    for (const int pid : targets(Victim::kCriu, random_)) EXPECT_EQ(kill(pid, SIGSTOP), 0);
    boost::asio::post(cage_->loop(), [&prepared] { prepared.give_up(); });
  }));
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Code::kCancelled) << outcome.error().message;
  expect_nobody();
}

INSTANTIATE_TEST_SUITE_P(Memory, RestoreDeaths, ::testing::Values(false, true),
                         [](const auto& info) { return info.param ? "Apart" : "InTheImages"; });

}  // namespace
}  // namespace icon::migration
