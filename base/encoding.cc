#include "base/encoding.h"

#include <sodium.h>

namespace icon {
namespace {

constexpr std::string_view kBase32Alphabet = "abcdefghijklmnopqrstuvwxyz234567";

std::string sodium_base64(std::span<const std::uint8_t> bytes, int variant) {
  std::string text(sodium_base64_encoded_len(bytes.size(), variant), '\0');
  sodium_bin2base64(text.data(), text.size(), bytes.data(), bytes.size(), variant);
  text.pop_back();  // the terminating zero
  return text;
}

}  // namespace

std::string hex_encode(std::span<const std::uint8_t> bytes) {
  std::string text(bytes.size() * 2 + 1, '\0');
  sodium_bin2hex(text.data(), text.size(), bytes.data(), bytes.size());
  text.pop_back();
  return text;
}

std::string base64_encode(std::span<const std::uint8_t> bytes) {
  return sodium_base64(bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

std::string base64_encode_standard(std::span<const std::uint8_t> bytes) {
  return sodium_base64(bytes, sodium_base64_VARIANT_ORIGINAL);
}

std::string base32_encode(std::span<const std::uint8_t> bytes) {
  std::string text;
  std::uint32_t buffer = 0;
  int bits = 0;
  for (const std::uint8_t byte : bytes) {
    buffer = buffer << 8 | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += kBase32Alphabet[buffer >> (bits - 5) & 31];
  }
  if (bits > 0) text += kBase32Alphabet[buffer << (5 - bits) & 31];
  return text;
}

Result<std::vector<std::uint8_t>> hex_decode(std::string_view text, std::size_t bytes_max) {
  std::vector<std::uint8_t> bytes(bytes_max + 1);  // never empty: libsodium wants an address
  std::size_t size = 0;
  const char* end = nullptr;
  if (sodium_hex2bin(bytes.data(), bytes_max, text.data(), text.size(), nullptr, &size, &end) !=
          0 ||
      end != text.data() + text.size())
    return fail(Code::kInvalid, "not hexadecimal");
  bytes.resize(size);
  if (hex_encode(bytes) != text) return fail(Code::kInvalid, "not hexadecimal (lower case)");
  return bytes;
}

Result<std::vector<std::uint8_t>> base64_decode(std::string_view text, std::size_t bytes_max) {
  std::vector<std::uint8_t> bytes(bytes_max + 1);  // never empty: libsodium wants an address
  std::size_t size = 0;
  const char* end = nullptr;
  if (sodium_base642bin(bytes.data(), bytes_max, text.data(), text.size(), nullptr, &size, &end,
                        sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
      end != text.data() + text.size())
    return fail(Code::kInvalid, "not base64 (URL-safe, no padding)");
  bytes.resize(size);
  // libsodium 1.0.18 takes some bytes above 0x7f for letters.
  if (base64_encode(bytes) != text)
    return fail(Code::kInvalid, "not base64 (URL-safe, no padding)");
  return bytes;
}

Result<std::vector<std::uint8_t>> base32_decode(std::string_view text, std::size_t bytes_max) {
  std::vector<std::uint8_t> bytes;
  std::uint32_t buffer = 0;
  int bits = 0;
  for (const char character : text) {
    const auto value = kBase32Alphabet.find(character);
    if (value == std::string_view::npos) return fail(Code::kInvalid, "not base32 (lower case)");
    buffer = buffer << 5 | static_cast<std::uint32_t>(value);
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      if (bytes.size() == bytes_max) return fail(Code::kInvalid, "base32 text is too long");
      bytes.push_back(static_cast<std::uint8_t>(buffer >> bits));
    }
  }
  // One text per value, or two spellings of an id would name one key.
  if (bits >= 5 || (buffer & ((1u << bits) - 1)) != 0)
    return fail(Code::kInvalid, "base32 text does not end on a byte");
  return bytes;
}

std::string random_token(std::size_t byte_count) {
  std::vector<std::uint8_t> bytes(byte_count);
  randombytes_buf(bytes.data(), bytes.size());
  return base64_encode(bytes);
}

}  // namespace icon
