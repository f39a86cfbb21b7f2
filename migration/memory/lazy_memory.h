// What of one restored process has not been filled yet: where its pages belong now and where they
// were when they were taken. Changed by what the process does to its memory meanwhile (userfaultfd
// events). Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "migration/memory/memory_tracker.h"

namespace icon::migration {

class LazyMemory {
 public:
  // `ranges`: of the checkpoint, ascending and apart.
  explicit LazyMemory(const std::vector<MemoryRange>& ranges);

  struct Piece {
    std::uint64_t address = 0;  // now
    std::uint64_t origin = 0;   // in the checkpoint
    std::uint64_t bytes = 0;    // from `address` to the end of what lies together
  };
  // What belongs at `address` (of a page); nullopt: nothing of the checkpoint, so zeroes.
  std::optional<Piece> at(std::uint64_t address) const;
  // The first piece from `address` on.
  std::optional<Piece> next(std::uint64_t address) const;
  bool empty() const { return pieces_.empty(); }

  // Filled, unmapped or thrown away (MADV_DONTNEED): nothing of the checkpoint belongs there now.
  void remove(MemoryRange range);
  // mremap(2): what was in [from, from + bytes) is at `to` now.
  void move(std::uint64_t from, std::uint64_t to, std::uint64_t bytes);

 private:
  struct Span {
    std::uint64_t end;
    std::uint64_t origin;
  };
  std::map<std::uint64_t, Span> pieces_;  // by start; apart from each other
};

}  // namespace icon::migration
