// BLAKE2s (RFC 7693, libb2) and what WireGuard builds on it: MAC, HMAC, and HKDF (whitepaper,
// section 5.4). Pure; any thread.
#pragma once

#include <initializer_list>

#include "supervisor/tunnel/wg/secret.h"

namespace icon::tunnel::wg {

using Hash = Key;
using Mac = std::array<std::uint8_t, kMacBytes>;

// HASH(): of the parts, one behind the other.
Hash blake2s(std::initializer_list<Bytes> parts);
// MAC(): keyed, 16 bytes. `key` has 1 to 32 bytes.
Mac blake2s_mac(Bytes key, std::initializer_list<Bytes> parts);
// HMAC(): RFC 2104 over BLAKE2s, not its keyed mode.
void hmac_blake2s(Bytes key, std::initializer_list<Bytes> parts, Secret& out);
// KDF_n(key, input): as many outputs as given, one to three; null ones are dropped. An output may
// be `key`.
void kdf(const Secret& key, Bytes input, std::initializer_list<Secret*> outputs);

}  // namespace icon::tunnel::wg
