#include "wire/overlay.h"

#include <sodium.h>

#include <algorithm>
#include <string_view>

namespace icon::wire {
namespace {

constexpr std::uint32_t kBlock = 0x64400000;  // 100.64.0.0
constexpr std::uint8_t kBlock6[] = {0xfd, 0x49, 0x63, 0x6f, 0x6e, 0x31};
constexpr std::uint32_t kHostBits = 22;
constexpr std::uint32_t kHosts = (1u << kHostBits) - 2;

std::array<std::uint8_t, 16> digest(std::string_view domain, const PublicKey& icon) {
  std::array<std::uint8_t, 16> hash{};
  crypto_generichash(hash.data(), hash.size(), icon.bytes.data(), icon.bytes.size(),
                     reinterpret_cast<const unsigned char*>(domain.data()), domain.size());
  return hash;
}

}  // namespace

Address overlay_address(const PublicKey& icon) {
  const auto hash = digest("icon1:overlay-address", icon);
  const std::uint32_t number = std::uint32_t{hash[0]} << 24 | std::uint32_t{hash[1]} << 16 |
                               std::uint32_t{hash[2]} << 8 | hash[3];
  return Address::v4(kBlock + 1 + number % kHosts);
}

Address overlay_address6(const PublicKey& icon) {
  auto bytes = digest("icon1:overlay-address6", icon);
  std::copy(std::begin(kBlock6), std::end(kBlock6), bytes.begin());
  return Address::v6(bytes);
}

std::array<std::uint8_t, 6> overlay_mac(const PublicKey& icon) {
  const auto hash = digest("icon1:overlay-mac-addr", icon);
  std::array<std::uint8_t, 6> mac{};
  for (std::size_t i = 0; i < mac.size(); ++i) mac[i] = hash[i];
  mac[0] = static_cast<std::uint8_t>((mac[0] & 0xfc) | 0x02);
  return mac;
}

}  // namespace icon::wire
