// BLAKE2b-256 (RFC 7693, through libsodium): how chains of lines and documents name one another.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace icon {

using Digest = std::array<std::uint8_t, 32>;

Digest blake2b(std::string_view text);
std::string blake2b_hex(std::string_view text);  // 64 lower-case hex digits

}  // namespace icon
