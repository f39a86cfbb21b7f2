// IP addresses, prefixes and endpoints as values: parse, print, compare, group.
#pragma once

#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace icon {

// An IPv4 or IPv6 address without port or zone. Default: 0.0.0.0.
class Address {
 public:
  Address() = default;
  // Network byte order; 4 or 16 bytes.
  static Address v4(std::array<std::uint8_t, 4> bytes);
  static Address v4(std::uint32_t host_order);
  static Address v6(std::array<std::uint8_t, 16> bytes);
  // Textual form without port; v4-mapped IPv6 becomes IPv4. Errors: kInvalid.
  static Result<Address> parse(std::string_view text);
  // From AF_INET or AF_INET6; v4-mapped becomes IPv4. Errors: kInvalid for other families.
  static Result<Address> from_sockaddr(const sockaddr* address);

  bool is_v4() const { return v4_; }
  std::span<const std::uint8_t> bytes() const { return {bytes_.data(), v4_ ? 4u : 16u}; }
  std::uint32_t v4_host_order() const;  // must be is_v4()
  std::string to_string() const;
  // True for what the public Internet never routes and a hop or a provider must not be: RFC 1918,
  // 100.64/10, loopback, link-local, multicast, unspecified, ULA, site-local, broadcast.
  bool is_non_public() const;
  // Fills `storage` and returns its length.
  socklen_t to_sockaddr(std::uint16_t port, sockaddr_storage& storage) const;

  auto operator<=>(const Address&) const = default;

 private:
  bool v4_ = true;
  std::array<std::uint8_t, 16> bytes_{};
};

// An address block; the host bits are zero.
struct Prefix {
  Address address;
  int length = 32;

  // "192.0.2.0/24"; host bits are cleared; a bare address is a host prefix. Errors: kInvalid.
  static Result<Prefix> parse(std::string_view text);
  static Prefix of(const Address& address, int length);
  // The block that one user stands for: /24 or /48.
  static Prefix of_user(const Address& address) { return of(address, address.is_v4() ? 24 : 48); }
  bool contains(const Address& address) const;
  std::string to_string() const;
  auto operator<=>(const Prefix&) const = default;
};

struct Endpoint {
  Address address;
  std::uint16_t port = 0;

  // "192.0.2.1:80" or "[2001:db8::1]:80". Errors: kInvalid.
  static Result<Endpoint> parse(std::string_view text);
  std::string to_string() const;
  auto operator<=>(const Endpoint&) const = default;
};

}  // namespace icon
