#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>

#include "base/assert.h"

namespace icon {
namespace {

constexpr std::array<std::uint8_t, 12> kV4MappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_v4_mapped(const std::array<std::uint8_t, 16>& bytes) {
  return std::equal(kV4MappedPrefix.begin(), kV4MappedPrefix.end(), bytes.begin());
}

// Digits only, without leading zeros: one text per number.
template <class Number>
bool parse_number(std::string_view text, Number& value) {
  if (text.empty() || text.front() < '0' || text.front() > '9' ||
      (text.front() == '0' && text.size() > 1))
    return false;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

struct NonPublicBlock {
  std::uint32_t network;
  int length;
};
// IANA special-purpose blocks that cannot be a router or a provider on a user's path.
constexpr NonPublicBlock kNonPublicV4[] = {
    {0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8}, {0xa9fe0000, 16},
    {0xac100000, 12}, {0xc0a80000, 16}, {0xe0000000, 4},  {0xf0000000, 4},
};

}  // namespace

Address Address::v4(std::array<std::uint8_t, 4> bytes) {
  Address address;
  std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
  return address;
}

Address Address::v4(std::uint32_t host_order) {
  return v4({static_cast<std::uint8_t>(host_order >> 24),
             static_cast<std::uint8_t>(host_order >> 16),
             static_cast<std::uint8_t>(host_order >> 8), static_cast<std::uint8_t>(host_order)});
}

Address Address::v6(std::array<std::uint8_t, 16> bytes) {
  Address address;
  address.v4_ = false;
  address.bytes_ = bytes;
  return address;
}

Result<Address> Address::parse(std::string_view text) {
  const std::string copy(text.substr(0, INET6_ADDRSTRLEN + 1));
  // inet_pton would stop there and take what comes before for the whole.
  if (copy.find('\0') != std::string::npos)
    return fail(Code::kInvalid, "not an IP address: it holds a zero byte");
  std::array<std::uint8_t, 4> four{};
  if (inet_pton(AF_INET, copy.c_str(), four.data()) == 1) return v4(four);
  std::array<std::uint8_t, 16> sixteen{};
  if (inet_pton(AF_INET6, copy.c_str(), sixteen.data()) == 1) {
    if (!is_v4_mapped(sixteen)) return v6(sixteen);
    std::copy(sixteen.begin() + 12, sixteen.end(), four.begin());
    return v4(four);
  }
  return fail(Code::kInvalid, "not an IP address: '" + copy + "'");
}

Result<Address> Address::from_sockaddr(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    std::array<std::uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, 4);
    return v4(bytes);
  }
  if (address->sa_family == AF_INET6) {
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr, 16);
    if (!is_v4_mapped(bytes)) return v6(bytes);
    return v4({bytes[12], bytes[13], bytes[14], bytes[15]});
  }
  return fail(Code::kInvalid, "not an IP socket address");
}

std::uint32_t Address::v4_host_order() const {
  ICON_ASSERT(v4_);
  return static_cast<std::uint32_t>(bytes_[0]) << 24 | static_cast<std::uint32_t>(bytes_[1]) << 16 |
         static_cast<std::uint32_t>(bytes_[2]) << 8 | bytes_[3];
}

std::string Address::to_string() const {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(v4_ ? AF_INET : AF_INET6, bytes_.data(), text, sizeof text);
  return text;
}

bool Address::is_non_public() const {
  if (v4_) {
    const std::uint32_t value = v4_host_order();
    return std::any_of(std::begin(kNonPublicV4), std::end(kNonPublicV4), [&](const auto& block) {
      return (value ^ block.network) >> (32 - block.length) == 0;
    });
  }
  const bool unspecified_or_loopback =
      std::all_of(bytes_.begin(), bytes_.end() - 1, [](std::uint8_t byte) { return byte == 0; }) &&
      bytes_[15] <= 1;
  const bool unique_local = (bytes_[0] & 0xfe) == 0xfc;
  const bool link_or_site_local = bytes_[0] == 0xfe && (bytes_[1] & 0x80) != 0;
  return unspecified_or_loopback || unique_local || link_or_site_local || bytes_[0] == 0xff;
}

socklen_t Address::to_sockaddr(std::uint16_t port, sockaddr_storage& storage) const {
  std::memset(&storage, 0, sizeof storage);
  if (v4_) {
    auto& in = reinterpret_cast<sockaddr_in&>(storage);
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, bytes_.data(), 4);
    return sizeof in;
  }
  auto& in6 = reinterpret_cast<sockaddr_in6&>(storage);
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(port);
  std::memcpy(&in6.sin6_addr, bytes_.data(), 16);
  return sizeof in6;
}

Result<Prefix> Prefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  ICON_TRY(const auto address, Address::parse(text.substr(0, slash)));
  const int longest = address.is_v4() ? 32 : 128;
  int length = longest;
  if (slash != std::string_view::npos &&
      (!parse_number(text.substr(slash + 1), length) || length < 0 || length > longest))
    return fail(Code::kInvalid, "not a prefix length: '" + std::string(text) + "'");
  return of(address, length);
}

Prefix Prefix::of(const Address& address, int length) {
  std::array<std::uint8_t, 16> bytes{};
  const auto source = address.bytes();
  for (std::size_t i = 0; i < source.size(); ++i) {
    const int kept = std::clamp(length - static_cast<int>(i) * 8, 0, 8);
    bytes[i] = static_cast<std::uint8_t>(source[i] & (0xff00 >> kept));
  }
  if (!address.is_v4()) return {Address::v6(bytes), length};
  return {Address::v4({bytes[0], bytes[1], bytes[2], bytes[3]}), length};
}

bool Prefix::contains(const Address& other) const {
  return other.is_v4() == address.is_v4() && of(other, length).address == address;
}

std::string Prefix::to_string() const { return address.to_string() + "/" + std::to_string(length); }

Result<Endpoint> Endpoint::parse(std::string_view text) {
  const auto colon = text.rfind(':');
  Endpoint endpoint;
  if (colon == std::string_view::npos || !parse_number(text.substr(colon + 1), endpoint.port))
    return fail(Code::kInvalid, "not address:port: '" + std::string(text.substr(0, 64)) + "'");
  auto host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  ICON_TRY(endpoint.address, Address::parse(host));
  // "2001:db8::1:80" can be read in two ways.
  if (bracketed != (host.find(':') != std::string_view::npos))
    return fail(Code::kInvalid, "not address:port: an IPv6 address, and no other, has brackets: '" +
                                    std::string(text.substr(0, 64)) + "'");
  return endpoint;
}

std::string Endpoint::to_string() const {
  return (address.is_v4() ? address.to_string() : "[" + address.to_string() + "]") + ":" +
         std::to_string(port);
}

}  // namespace icon
