#pragma once

#include <string>

namespace icon::test {

// A shell command that waits until the kernel delivers to an IPv6 address that was just added: it
// makes the route to it behind the command that adds, duplicate address detection or not.
inline std::string until_local(const std::string& address) {
  return "timeout 5 sh -c 'until ip -6 route get " + address +
         " 2>/dev/null | grep -q ^local; do sleep 0.01; done'";
}

}  // namespace icon::test
