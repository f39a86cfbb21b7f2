// A fixed buffer whose pages cost nothing until they are touched: an idle tunnel is one of a
// thousand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace icon::tunnel {

class Buffer {
 public:
  // What is in it is indeterminate.
  explicit Buffer(std::size_t size)
      : bytes_(std::make_unique_for_overwrite<std::uint8_t[]>(size)), size_(size) {}
  std::uint8_t* data() { return bytes_.get(); }
  std::size_t size() const { return size_; }
  std::span<std::uint8_t> first(std::size_t count) { return {bytes_.get(), count}; }

 private:
  std::unique_ptr<std::uint8_t[]> bytes_;
  std::size_t size_;
};

}  // namespace icon::tunnel
