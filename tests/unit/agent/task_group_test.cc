#include "agent/task_group.h"

#include <gtest/gtest.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <stdexcept>

namespace icon::agent {
namespace {

// Sets `gone` when its frame is destroyed, however it ends.
struct Witness {
  int& gone;
  ~Witness() { ++gone; }
};

Task<void> wait_for_ever(int& gone) {
  const Witness witness{gone};
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, std::chrono::hours(1));
  co_await timer.async_wait(boost::asio::use_awaitable);
}

Task<void> end_at_once(int& gone) {
  const Witness witness{gone};
  co_return;
}

Task<void> throw_at_once() {
  throw std::runtime_error("a bug");
  co_return;
}

TEST(TaskGroup, CancelsAllAndTellsWhenTheyAreGone) {
  IoContext loop(1);
  TaskGroup tasks(loop);
  int gone = 0;
  for (int i = 0; i < 3; ++i) tasks.spawn("waits", wait_for_ever(gone));
  tasks.spawn("ends", end_at_once(gone));
  loop.poll();
  EXPECT_EQ(gone, 1);
  EXPECT_FALSE(tasks.empty());
  bool idle = false;
  tasks.when_empty([&] { idle = true; });
  tasks.cancel();
  loop.restart();
  loop.run();
  EXPECT_EQ(gone, 4);
  EXPECT_TRUE(idle);
  EXPECT_TRUE(tasks.empty());
}

TEST(TaskGroup, AnIdleGroupAnswersAtOnce) {
  IoContext loop(1);
  TaskGroup tasks(loop);
  bool idle = false;
  tasks.when_empty([&] { idle = true; });
  EXPECT_TRUE(idle);
  tasks.cancel();
}

TEST(TaskGroup, ATaskThatThrowsEndsAloneAndTheGroupGoesOn) {
  IoContext loop(1);
  TaskGroup tasks(loop);
  int gone = 0;
  tasks.spawn("throws", throw_at_once());
  tasks.spawn("ends", end_at_once(gone));
  loop.run();
  EXPECT_TRUE(tasks.empty());
  EXPECT_EQ(gone, 1);
}

TEST(TaskGroup, CancelBeforeTheFirstStep) {
  IoContext loop(1);
  TaskGroup tasks(loop);
  int gone = 0;
  tasks.spawn("waits", wait_for_ever(gone));
  tasks.cancel();
  loop.run();
  EXPECT_EQ(gone, 1);
  EXPECT_TRUE(tasks.empty());
}

}  // namespace
}  // namespace icon::agent
