// Identity is a key (Ed25519, RFC 8032, through libsodium). An id is the lower-case RFC 4648 base32
// of the public key without padding: 52 characters, usable as a DNS label and a file name.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace icon {

struct PublicKey {
  std::array<std::uint8_t, 32> bytes{};

  std::string id() const;
  static Result<PublicKey> from_id(std::string_view id);  // Errors: kInvalid
  auto operator<=>(const PublicKey&) const = default;
};

using Signature = std::array<std::uint8_t, 64>;

// The first characters of an id, for people and interface names. 8 characters = 40 bits.
std::string short_id(std::string_view id);

// Owns a secret; wiped on destruction, never logged, movable only.
class KeyPair {
 public:
  static KeyPair generate();
  static KeyPair from_seed(const std::array<std::uint8_t, 32>& seed);
  // A file of 64 hex digits (the seed), mode 0600; created when absent and `create` is true.
  // Errors: kRefused when others can read it, kInvalid, kNotFound, kIo.
  static Result<KeyPair> load(const std::string& path, bool create);

  KeyPair(KeyPair&& other) noexcept;
  KeyPair& operator=(KeyPair&& other) noexcept;
  KeyPair(const KeyPair&) = delete;
  KeyPair& operator=(const KeyPair&) = delete;
  ~KeyPair();

  const PublicKey& public_key() const { return public_key_; }
  std::string id() const { return public_key_.id(); }
  // Signs "icon1:<domain>\0<message>": a signature for one document type is none for another.
  Signature sign(std::string_view domain, std::string_view message) const;
  // The 32-byte seed, for the TLS adapter and the X25519 derivation. Keep no copy.
  std::span<const std::uint8_t, 32> seed() const {
    return std::span<const std::uint8_t, 32>(secret_.data(), 32);
  }

 private:
  KeyPair() = default;
  PublicKey public_key_;
  std::array<std::uint8_t, 64> secret_{};
};

bool verify(const PublicKey& key, std::string_view domain, std::string_view message,
            const Signature& signature);

}  // namespace icon
