#include "migration/memory/page_store.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace icon::migration {

PageStore::~PageStore() {
  for (std::uint8_t* slab : slabs_) munmap(slab, kSlabPages * kPageBytes);
}

Result<std::uint8_t*> PageStore::new_page() {
  if (used_ >= pages_max_)
    return fail(Code::kLimit, "the memory is larger than the " +
                                  std::to_string(pages_max_ * kPageBytes) + " bytes allowed");
  if (used_ % kSlabPages == 0) {
    void* slab = mmap(nullptr, kSlabPages * kPageBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slab == MAP_FAILED) return fail_errno("memory for arriving pages");
    slabs_.push_back(static_cast<std::uint8_t*>(slab));
  }
  return at(static_cast<std::uint32_t>(used_++));
}

Status PageStore::put(std::uint32_t pid, std::uint64_t address,
                      std::span<const std::uint8_t> data) {
  auto& pages = index_[pid];
  bool came_again = false;
  for (std::size_t offset = 0; offset < data.size(); offset += kPageBytes) {
    const std::uint64_t number = (address + offset) / kPageBytes;
    const auto known = pages.find(number);
    std::uint8_t* target = nullptr;
    if (known != pages.end()) {
      target = at(known->second);
      came_again = true;
    } else {
      ICON_TRY(target, new_page());
      pages.emplace(number, static_cast<std::uint32_t>(used_ - 1));
    }
    std::memcpy(target, data.data() + offset, kPageBytes);
  }
  if (came_again && recent_.size() < kRecentMax)
    recent_.push_back({pid, {address, address + data.size()}});
  return {};
}

std::span<const std::uint8_t> PageStore::find(std::uint32_t pid, std::uint64_t address,
                                              std::size_t pages_max) const {
  const auto process = index_.find(pid);
  if (process == index_.end()) return {};
  const auto& pages = process->second;
  const auto first = pages.find(address / kPageBytes);
  if (first == pages.end()) return {};
  std::size_t count = 1;
  for (; count < pages_max; ++count) {
    const auto next = pages.find(address / kPageBytes + count);
    if (next == pages.end() || next->second != first->second + count ||
        next->second % kSlabPages == 0)
      break;
  }
  return {at(first->second), count * kPageBytes};
}

void PageStore::drop(std::span<const std::uint8_t> pages) {
  // Advice: what the kernel does not take back goes with the process.
  (void)madvise(const_cast<std::uint8_t*>(pages.data()), pages.size(), MADV_DONTNEED);
}

}  // namespace icon::migration
