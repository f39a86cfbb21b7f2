// Turns a fuzzer's bytes into numbers and texts for targets that are no parsers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace icon::fuzz {

class ByteSource {
 public:
  explicit ByteSource(std::string_view bytes) : bytes_(bytes) {}

  bool empty() const { return bytes_.empty(); }
  // 0 when there is nothing left.
  std::uint8_t byte() {
    if (bytes_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(bytes_.front());
    bytes_.remove_prefix(1);
    return value;
  }
  // Mostly small, sometimes anything.
  std::int64_t number() {
    const auto first = byte();
    if (first < 200) return first;
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8 | byte();
    return static_cast<std::int64_t>(value);
  }
  std::string text(std::size_t bytes_max) {
    const auto wanted = byte() % (bytes_max + 1);  // before the rest is measured
    const auto size = std::min<std::size_t>(wanted, bytes_.size());
    std::string value(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return value;
  }

 private:
  std::string_view bytes_;
};

}  // namespace icon::fuzz
