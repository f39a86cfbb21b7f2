#include "supervisor/tunnel/replay_window.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace icon::tunnel {
namespace {

TEST(ReplayWindow, EachCounterOnce) {
  ReplayWindow window;
  EXPECT_TRUE(window.accept(0));
  EXPECT_FALSE(window.accept(0));
  EXPECT_TRUE(window.accept(1));
  EXPECT_TRUE(window.accept(5));
  EXPECT_TRUE(window.accept(3));
  EXPECT_FALSE(window.accept(3));
  EXPECT_FALSE(window.accept(5));
}

TEST(ReplayWindow, OlderThanTheWindowIsRefused) {
  ReplayWindow window;
  const std::uint64_t top = 1'000'000;
  EXPECT_TRUE(window.accept(top));
  EXPECT_TRUE(window.accept(top - ReplayWindow::kSize));
  EXPECT_FALSE(window.accept(top - ReplayWindow::kSize));
  EXPECT_FALSE(window.accept(top - ReplayWindow::kSize - 1));
  EXPECT_GE(ReplayWindow::kSize, 2048u);
}

TEST(ReplayWindow, AJumpForgetsWhatItPasses) {
  ReplayWindow window;
  for (std::uint64_t i = 0; i < 20'000; ++i) ASSERT_TRUE(window.accept(i));
  EXPECT_TRUE(window.accept(1'000'000));
  EXPECT_FALSE(window.accept(19'999));
  EXPECT_TRUE(window.accept(999'999));
  EXPECT_TRUE(window.accept(UINT64_MAX - 1));
  EXPECT_FALSE(window.accept(1'000'000));
}

TEST(ReplayWindow, AgreesWithASetUnderDisorder) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  ReplayWindow window;
  std::set<std::uint64_t> seen;
  std::uint64_t newest = 0;
  for (int i = 0; i < 200'000; ++i) {
    const std::uint64_t span = random() % 100 == 0 ? 20'000 : 300;
    const std::uint64_t back = random() % (2 * span);
    const std::uint64_t counter = newest + span > back ? newest + span - back : 0;
    const bool old = counter + ReplayWindow::kSize < newest;
    ASSERT_EQ(window.accept(counter), !old && !seen.contains(counter)) << counter << " " << newest;
    seen.insert(counter);
    newest = std::max(newest, counter);
  }
}

}  // namespace
}  // namespace icon::tunnel
