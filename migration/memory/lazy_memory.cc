#include "migration/memory/lazy_memory.h"

#include <algorithm>
#include <utility>

namespace icon::migration {

LazyMemory::LazyMemory(const std::vector<MemoryRange>& ranges) {
  for (const auto& range : ranges) pieces_[range.start] = {range.end, range.start};
}

std::optional<LazyMemory::Piece> LazyMemory::at(std::uint64_t address) const {
  auto piece = pieces_.upper_bound(address);
  if (piece == pieces_.begin()) return std::nullopt;
  --piece;
  const auto& [start, span] = *piece;
  if (address >= span.end) return std::nullopt;
  return Piece{address, span.origin + (address - start), span.end - address};
}

std::optional<LazyMemory::Piece> LazyMemory::next(std::uint64_t address) const {
  if (const auto here = at(address)) return here;
  const auto piece = pieces_.lower_bound(address);
  if (piece == pieces_.end()) return std::nullopt;
  return Piece{piece->first, piece->second.origin, piece->second.end - piece->first};
}

void LazyMemory::remove(MemoryRange range) {
  if (range.start >= range.end) return;
  auto piece = pieces_.upper_bound(range.start);
  if (piece != pieces_.begin()) --piece;
  while (piece != pieces_.end() && piece->first < range.end) {
    const auto [start, span] = *piece;
    if (span.end <= range.start) {
      ++piece;
      continue;
    }
    piece = pieces_.erase(piece);
    if (start < range.start) pieces_[start] = {range.start, span.origin};
    if (span.end > range.end) pieces_[range.end] = {span.end, span.origin + (range.end - start)};
  }
}

void LazyMemory::move(std::uint64_t from, std::uint64_t to, std::uint64_t bytes) {
  std::vector<Piece> moved;
  for (auto piece = next(from); piece && piece->address < from + bytes;
       piece = next(piece->address + piece->bytes)) {
    piece->bytes = std::min(piece->bytes, from + bytes - piece->address);
    moved.push_back(*piece);
  }
  remove({from, from + bytes});
  remove({to, to + bytes});
  for (const auto& piece : moved) {
    const std::uint64_t start = piece.address - from + to;
    pieces_[start] = {start + piece.bytes, piece.origin};
  }
}

}  // namespace icon::migration
