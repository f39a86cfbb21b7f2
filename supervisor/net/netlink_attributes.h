// Reading netlink's attributes, as far as libmnl leaves it to its users.
#pragma once

#include <libmnl/libmnl.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/address.h"

namespace icon::net {

template <class Visit>
void for_each_nested(const nlattr* nest, const Visit& visit) {
  const auto* end =
      static_cast<const char*>(mnl_attr_get_payload(nest)) + mnl_attr_get_payload_len(nest);
  const auto* attribute = static_cast<const nlattr*>(mnl_attr_get_payload(nest));
  while (mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)))) {
    visit(attribute);
    attribute = mnl_attr_next(attribute);
  }
}

// Leaves it as it is when the length is neither family's.
inline void read_address(const nlattr* attribute, Address& address) {
  const auto* bytes = static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute));
  std::array<std::uint8_t, 4> v4{};
  std::array<std::uint8_t, 16> v6{};
  if (mnl_attr_get_payload_len(attribute) == v4.size()) {
    std::copy_n(bytes, v4.size(), v4.begin());
    address = Address::v4(v4);
  } else if (mnl_attr_get_payload_len(attribute) == v6.size()) {
    std::copy_n(bytes, v6.size(), v6.begin());
    address = Address::v6(v6);
  }
}

}  // namespace icon::net
