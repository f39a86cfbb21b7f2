// The bytes of a CRIU image: little-endian numbers and protobuf's varints. Every read is checked
// against what is left; nothing is believed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace icon::migration {

inline constexpr std::uint32_t kImageMagic = 0x54564319;  // IMG_COMMON_MAGIC, criu/include/magic.h

class ImageReader {
 public:
  explicit ImageReader(std::span<const std::uint8_t> bytes) : left_(bytes) {}
  bool done() const { return left_.empty(); }
  std::optional<std::uint64_t> fixed(std::size_t bytes) {
    if (left_.size() < bytes) return std::nullopt;
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value |= std::uint64_t{left_[i]} << (8 * i);
    left_ = left_.subspan(bytes);
    return value;
  }
  std::optional<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < left_.size() && i < 10; ++i) {
      value |= std::uint64_t{left_[i] & 0x7fu} << (7 * i);
      if ((left_[i] & 0x80) != 0) continue;
      left_ = left_.subspan(i + 1);
      return value;
    }
    return std::nullopt;
  }
  std::optional<std::span<const std::uint8_t>> bytes(std::uint64_t count) {
    if (left_.size() < count) return std::nullopt;
    const auto part = left_.first(count);
    left_ = left_.subspan(count);
    return part;
  }

 private:
  std::span<const std::uint8_t> left_;
};

}  // namespace icon::migration
