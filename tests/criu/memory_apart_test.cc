// Memory that goes ahead is not in CRIU's images as well: what is in them travels while the service
// stands still.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>

#include "migration/memory/image_memory.h"
#include "tests/criu/dump_apart.h"

namespace icon::migration {
namespace {

constexpr std::uint64_t kAheadMin = 16 << 20;  // the animals have some 32 MiB
constexpr std::uint64_t kInImagesMax = 1 << 20;

std::uint64_t page_bytes_in(const std::string& images) {
  std::uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(images))
    if (entry.path().filename().string().starts_with("pages-")) bytes += entry.file_size();
  return bytes;
}

class MemoryApart : public ::testing::TestWithParam<const char*> {};

TEST_P(MemoryApart, IsNotInTheImages) {
  Cage::Options options;
  options.animal = GetParam();
  auto cage = Cage::create(options);
  ASSERT_TRUE(cage) << cage.error().message;
  std::uint64_t ahead = 0;
  auto take = [&ahead](std::span<const char> bytes) -> Task<Status> {
    ahead += bytes.size();
    co_return Status{};
  };
  const auto dumped = (*cage)->run(test::dump_apart(**cage, take));
  ASSERT_TRUE(dumped) << dumped.error().message;
  EXPECT_GT(ahead, kAheadMin);
  EXPECT_LT(page_bytes_in((*cage)->dump_request().image_dir), kInImagesMax);
}

// What cannot go ahead is known beforehand.
TEST(ImageMemory, IsWhatIsInTheImages) {
  Cage::Options options;
  options.animal = "memory_in_images";
  auto cage = Cage::create(options);
  ASSERT_TRUE(cage) << cage.error().message;
  const auto known = image_memory((*cage)->cgroup().processes());
  ASSERT_TRUE(known) << known.error().message;
  EXPECT_GE(*known, 20u << 20);
  auto drop = [](std::span<const char>) -> Task<Status> { co_return Status{}; };
  const auto dumped = (*cage)->run(test::dump_apart(**cage, drop));
  ASSERT_TRUE(dumped) << dumped.error().message;
  EXPECT_NEAR(static_cast<double>(page_bytes_in((*cage)->dump_request().image_dir)),
              static_cast<double>(*known), static_cast<double>(kInImagesMax));
}

INSTANTIATE_TEST_SUITE_P(Zoo, MemoryApart,
                         ::testing::Values(
#if defined(__x86_64__)
                             "stack_at_a_page",
#endif
                             "crowd"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace icon::migration
