// The memory of a process tree as it arrives, page by page, in anonymous memory of this process.
// One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "migration/memory/memory_tracker.h"

namespace icon::migration {

class PageStore {
 public:
  // Refuses more than `bytes_max` of different pages.
  explicit PageStore(std::uint64_t bytes_max) : pages_max_(bytes_max / kPageBytes) {}
  ~PageStore();
  PageStore(const PageStore&) = delete;
  PageStore& operator=(const PageStore&) = delete;

  // `data`: whole pages. Errors: kLimit.
  Status put(std::uint32_t pid, std::uint64_t address, std::span<const std::uint8_t> data);

  // The stored pages from `address` on that lie in one piece here: at most `pages_max` of them;
  // empty when there is none.
  std::span<const std::uint8_t> find(std::uint32_t pid, std::uint64_t address,
                                     std::size_t pages_max) const;
  // Gives the memory of pages back that nobody will ask for again. They read as zeroes then.
  static void drop(std::span<const std::uint8_t> pages);

  std::uint64_t pages() const { return used_; }
  // What came again, the latest first: a hint of what the process uses most.
  struct Recent {
    std::uint32_t pid;
    MemoryRange range;
  };
  std::vector<Recent> recent() const { return {recent_.rbegin(), recent_.rend()}; }

 private:
  static constexpr std::size_t kSlabPages = 16'384;  // 64 MiB
  static constexpr std::size_t kRecentMax = 65'536;
  Result<std::uint8_t*> new_page();
  std::uint8_t* at(std::uint32_t index) const {
    return slabs_[index / kSlabPages] + (index % kSlabPages) * kPageBytes;
  }

  std::uint64_t pages_max_;
  std::uint64_t used_ = 0;
  std::vector<std::uint8_t*> slabs_;
  // Page number -> index of the page here.
  std::unordered_map<std::uint32_t, std::unordered_map<std::uint64_t, std::uint32_t>> index_;
  std::vector<Recent> recent_;
};

}  // namespace icon::migration
