// A hash for tables whose keys strangers choose: SipHash with a random key per table, so that
// nobody can make one long chain.
#pragma once

#include "base/address.h"
#include "supervisor/tunnel/wg/messages.h"

namespace icon::tunnel::wg {

class KeyedHash {
 public:
  KeyedHash();
  std::size_t operator()(const Key& key) const { return hash(key); }
  std::size_t operator()(const Address& address) const { return hash(address.bytes()); }

 private:
  std::size_t hash(Bytes bytes) const;
  std::array<std::uint8_t, 16> key_{};
};

}  // namespace icon::tunnel::wg
