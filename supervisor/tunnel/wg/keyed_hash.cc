#include "supervisor/tunnel/wg/keyed_hash.h"

#include <sodium.h>

namespace icon::tunnel::wg {

KeyedHash::KeyedHash() {
  static_assert(crypto_shorthash_KEYBYTES == 16 && crypto_shorthash_BYTES == sizeof(std::size_t));
  randombytes_buf(key_.data(), key_.size());
}

std::size_t KeyedHash::hash(Bytes bytes) const {
  std::size_t value = 0;
  crypto_shorthash(reinterpret_cast<std::uint8_t*>(&value), bytes.data(), bytes.size(),
                   key_.data());
  return value;
}

}  // namespace icon::tunnel::wg
