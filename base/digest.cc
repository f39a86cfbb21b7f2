#include "base/digest.h"

#include <sodium.h>

#include "base/encoding.h"

namespace icon {

Digest blake2b(std::string_view text) {
  Digest hash{};
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(text.data()),
                     text.size(), nullptr, 0);
  return hash;
}

std::string blake2b_hex(std::string_view text) { return hex_encode(blake2b(text)); }

}  // namespace icon
