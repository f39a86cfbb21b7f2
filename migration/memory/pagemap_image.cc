#include "migration/memory/pagemap_image.h"

#include <optional>

#include "migration/memory/image_reader.h"

namespace icon::migration {
namespace {

constexpr std::uint32_t kPagemapMagic = 0x56084025;  // criu/include/magic.h
constexpr std::uint64_t kLazy = 1 << 1;              // PE_LAZY
constexpr std::uint64_t kPresent = 1 << 2;           // PE_PRESENT
constexpr std::uint64_t kAddressEnd = 1ull << 47;

struct Entry {
  std::uint64_t address = 0;
  std::uint64_t pages = 0;
  std::uint64_t flags = kPresent;
};

std::optional<Entry> read_entry(std::span<const std::uint8_t> message) {
  Entry entry;
  std::uint64_t wide_pages = 0;
  ImageReader reader(message);
  while (!reader.done()) {
    const auto key = reader.varint();
    if (!key || *key % 8 != 0) return std::nullopt;  // this message has only varints
    const auto value = reader.varint();
    if (!value) return std::nullopt;
    switch (*key / 8) {
      case 1:
        entry.address = *value;
        break;
      case 2:
        entry.pages = *value;
        break;
      case 4:
        entry.flags = *value;
        break;
      case 5:
        wide_pages = *value;
        break;
      default:
        break;  // a field of a newer CRIU
    }
  }
  if (wide_pages != 0) entry.pages = wide_pages;
  return entry;
}

tl::unexpected<Error> malformed() {
  return fail(Code::kInvalid, "the checkpoint's page map is malformed");
}

}  // namespace

Result<std::vector<MemoryRange>> lazy_ranges(std::span<const std::uint8_t> image) {
  ImageReader reader(image);
  if (reader.fixed(4) != kImageMagic || reader.fixed(4) != kPagemapMagic) return malformed();
  std::vector<MemoryRange> ranges;
  std::uint64_t end_before = 0;
  for (bool is_head = true; !reader.done(); is_head = false) {
    const auto size = reader.fixed(4);
    const auto message = size ? reader.bytes(*size) : std::nullopt;
    if (!message) return malformed();
    if (is_head) continue;  // the number of the pages' own file
    const auto entry = read_entry(*message);
    if (!entry || entry->pages == 0 || entry->pages > kAddressEnd / kPageBytes ||
        entry->address % kPageBytes != 0 || entry->address < end_before ||
        entry->address > kAddressEnd - entry->pages * kPageBytes)
      return malformed();
    end_before = entry->address + entry->pages * kPageBytes;
    if ((entry->flags & kLazy) != 0 && (entry->flags & kPresent) == 0) {
      if (!ranges.empty() && ranges.back().end == entry->address)
        ranges.back().end = end_before;
      else
        ranges.push_back({entry->address, end_before});
    }
  }
  return ranges;
}

}  // namespace icon::migration
