// What parses is printed as the text that parses to it.
#include "base/address.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon {

ICON_FUZZ_TARGET(address) {
  if (const auto address = Address::parse(input)) {
    ICON_FUZZ_REQUIRE(*Address::parse(address->to_string()) == *address);
    (void)address->is_non_public();
    sockaddr_storage storage;
    address->to_sockaddr(1, storage);
    ICON_FUZZ_REQUIRE(*Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage)) == *address);
  }
  if (const auto prefix = Prefix::parse(input)) {
    ICON_FUZZ_REQUIRE(*Prefix::parse(prefix->to_string()) == *prefix);
    ICON_FUZZ_REQUIRE(prefix->contains(prefix->address));
  }
  if (const auto endpoint = Endpoint::parse(input))
    ICON_FUZZ_REQUIRE(*Endpoint::parse(endpoint->to_string()) == *endpoint);
}

}  // namespace icon
