// BLAKE2b-256 (libsodium) of things that travel.
#pragma once

#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "base/encoding.h"

namespace icon::migration {

class Digest {
 public:
  Digest() { crypto_generichash_init(&state_, nullptr, 0, 32); }
  void add(const void* data, std::size_t size) {
    crypto_generichash_update(&state_, static_cast<const unsigned char*>(data), size);
  }
  void add_zeroes(std::int64_t count) {
    static constexpr std::array<char, 4096> kZeroes{};
    for (; count > 0; count -= std::min<std::int64_t>(count, kZeroes.size()))
      add(kZeroes.data(), static_cast<std::size_t>(std::min<std::int64_t>(count, kZeroes.size())));
  }
  // With the terminating zero: two texts never run into each other.
  void add(const std::string& text) { add(text.c_str(), text.size() + 1); }
  // Ends the digest: 64 hexadecimal digits.
  std::string hex() {
    std::array<std::uint8_t, 32> hash{};
    crypto_generichash_final(&state_, hash.data(), hash.size());
    return hex_encode(hash);
  }

 private:
  crypto_generichash_state state_{};
};

}  // namespace icon::migration
