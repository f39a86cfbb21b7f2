#include "supervisor/tunnel/wg/replay_window.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace icon::tunnel::wg {
namespace {

constexpr std::uint64_t kSize = ReplayWindow::kSize;
static_assert(kSize >= 8192);

TEST(ReplayWindow, AcceptsEachOnce) {
  ReplayWindow window;
  for (std::uint64_t counter = 0; counter < 3 * kSize; ++counter) {
    ASSERT_TRUE(window.accept(counter)) << counter;
    ASSERT_FALSE(window.accept(counter)) << counter;
  }
}

TEST(ReplayWindow, AcceptsAWholeWindowBackwards) {
  ReplayWindow window;
  for (std::uint64_t counter = kSize; counter-- > 0;) ASSERT_TRUE(window.accept(counter));
  for (std::uint64_t counter = 0; counter < kSize; ++counter) ASSERT_FALSE(window.accept(counter));
  EXPECT_TRUE(window.accept(kSize));
}

TEST(ReplayWindow, ForgetsWhatIsTooOld) {
  ReplayWindow window;
  ASSERT_TRUE(window.accept(kSize + 100));
  EXPECT_FALSE(window.accept(100));
  EXPECT_TRUE(window.accept(101));
  EXPECT_FALSE(window.accept(0));
}

TEST(ReplayWindow, JumpsFar) {
  ReplayWindow window;
  ASSERT_TRUE(window.accept(5));
  for (const std::uint64_t jump : {kSize - 1, kSize + 1, 2 * kSize + 1, 2 * kSize + 66, 4 * kSize,
                                   5 * kSize + 63, std::uint64_t{1} << 40, ~std::uint64_t{0} - 1}) {
    ASSERT_TRUE(window.accept(jump)) << jump;
    EXPECT_FALSE(window.accept(jump)) << jump;
    EXPECT_TRUE(window.accept(jump - 1)) << jump;
  }
  EXPECT_TRUE(window.accept(~std::uint64_t{0}));
  EXPECT_FALSE(window.accept(~std::uint64_t{0}));
  EXPECT_FALSE(window.accept(0));
}

// Against a set that remembers everything.
TEST(ReplayWindow, AgreesWithASetOnRandomOrders) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  ReplayWindow window;
  std::set<std::uint64_t> seen;
  std::uint64_t newest = 0;
  for (int i = 0; i < 200'000; ++i) {
    const std::uint64_t ahead = random() % 50 == 0 ? random() % (2 * kSize) : random() % 4;
    const std::uint64_t behind = random() % (kSize + kSize / 8);
    const std::uint64_t counter =
        random() % 2 == 0 ? newest + ahead : newest - std::min(newest, behind);
    const bool is_in_window = counter + kSize > newest;
    const bool expected = is_in_window && !seen.contains(counter);
    ASSERT_EQ(window.accept(counter), expected) << "counter " << counter << " newest " << newest;
    if (expected) seen.insert(counter);
    newest = std::max(newest, expected ? counter : 0);
  }
}

}  // namespace
}  // namespace icon::tunnel::wg
