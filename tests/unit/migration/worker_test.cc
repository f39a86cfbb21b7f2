#include "migration/worker.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <filesystem>
#include <fstream>
#include <future>

namespace icon::migration {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;

class WorkerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/icon-worker-test.XXXXXX";
    base_ = mkdtemp(name);
    fs::create_directories(base_ + "/source");
    fs::create_directories(base_ + "/target");
    std::ofstream(base_ + "/source/file") << std::string(5 << 20, 'y');
  }
  void TearDown() override { fs::remove_all(base_); }

  void run(Task<void> task) {
    IoContext loop;
    asio::co_spawn(loop, std::move(task), [](std::exception_ptr error) {
      if (error) std::rethrow_exception(error);
    });
    loop.run();
  }

  std::string base_;
};

TEST_F(WorkerTest, StreamsATreeFromOneDirectoryToAnother) {
  run([](std::string base) -> Task<void> {
    const auto executor = co_await asio::this_coro::executor;
    auto source = TarSource::start(executor, {{"upper", base + "/source"}});
    auto sink = TarSink::start(executor, {{"upper", base + "/target"}}, {1 << 30});
    for (;;) {
      auto bytes = co_await (*source)->next();
      EXPECT_TRUE(bytes);
      if (!bytes || bytes->empty()) break;
      EXPECT_TRUE(co_await (*sink)->write(*bytes));
    }
    const auto report = co_await (*sink)->finish();
    EXPECT_TRUE(report);
    if (report) {
      EXPECT_EQ(report->files, (*source)->report().files);
    }
  }(base_));
  EXPECT_EQ(tree_digest(base_ + "/source").value(), tree_digest(base_ + "/target").value());
}

TEST_F(WorkerTest, AbandonedEndsLeaveNoThreadBehind) {
  run([](std::string base) -> Task<void> {
    const auto executor = co_await asio::this_coro::executor;
    auto source = TarSource::start(executor, {{"upper", base + "/source"}});
    EXPECT_TRUE(co_await (*source)->next());
    source->reset();  // in the middle: joins its thread or hangs here
    auto sink = TarSink::start(executor, {{"upper", base + "/target"}}, {1 << 30});
    EXPECT_TRUE(co_await (*sink)->write(std::string_view("not a tar")));
    const auto report = co_await (*sink)->finish();
    EXPECT_FALSE(report);
  }(base_));
}

TEST_F(WorkerTest, WorkThatMustNotLastIsGivenUpAndTheNextIsDone) {
  asio::thread_pool pool(1);
  std::promise<void> released;
  run([](asio::thread_pool& pool, std::promise<void>& released) -> Task<void> {
    auto quick = []() -> Result<int> { return 7; };
    const auto done = co_await run_within(pool, Millis(60'000), "quick", std::move(quick));
    EXPECT_EQ(done.value_or(0), 7);
    auto endless = [&released]() -> Status {
      released.get_future().wait();
      return {};
    };
    const auto given_up = co_await run_within(pool, Millis(10), "look at it", std::move(endless));
    EXPECT_FALSE(given_up);
    if (!given_up) {
      EXPECT_EQ(given_up.error().code, Code::kTimeout);
      EXPECT_EQ(given_up.error().message, "look at it: not done within 10 ms");
    }
    released.set_value();
    auto failing = []() -> Status { return fail(Code::kIo, "no"); };
    const auto failed = co_await run_within(pool, Millis(60'000), "failing", std::move(failing));
    EXPECT_FALSE(failed);
    if (!failed) {
      EXPECT_EQ(failed.error().code, Code::kIo);
    }
  }(pool, released));
}

}  // namespace
}  // namespace icon::migration
