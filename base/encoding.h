// Bytes as text: hex and base64 by libsodium, base32 (RFC 4648, lower case, no padding).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace icon {

std::string hex_encode(std::span<const std::uint8_t> bytes);
std::string base64_encode(std::span<const std::uint8_t> bytes);  // URL-safe, no padding
std::string base64_encode_standard(std::span<const std::uint8_t> bytes);
std::string base32_encode(std::span<const std::uint8_t> bytes);
// Errors: kInvalid for other characters, for more than `bytes_max` bytes and for a text that is
// not the one encoding of its bytes.
Result<std::vector<std::uint8_t>> hex_decode(std::string_view text, std::size_t bytes_max);
Result<std::vector<std::uint8_t>> base64_decode(std::string_view text, std::size_t bytes_max);
Result<std::vector<std::uint8_t>> base32_decode(std::string_view text, std::size_t bytes_max);

// `byte_count` bytes from the kernel's generator, as URL-safe base64: ids and nonces.
std::string random_token(std::size_t byte_count);

}  // namespace icon
