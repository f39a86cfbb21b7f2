#include "supervisor/tunnel/wg/secret.h"

#include <sodium.h>

namespace icon::tunnel::wg {

void wipe(MutableBytes secret) {
  if (!secret.empty()) sodium_memzero(secret.data(), secret.size());
}

Secret Secret::random() {
  Secret secret;
  randombytes_buf(secret.data(), secret.bytes_.size());
  return secret;
}

bool Secret::is_zero() const { return sodium_is_zero(bytes_.data(), bytes_.size()) == 1; }

bool Secret::equals(const Secret& other) const {
  return sodium_memcmp(data(), other.data(), bytes_.size()) == 0;
}

}  // namespace icon::tunnel::wg
