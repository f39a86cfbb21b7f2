// The kernel's WireGuard as it is spoken to by netlink (linux/wireguard.h): messages built and read
// byte by byte. The words are those of the control protocol of a tunnel in user space
// (tunnel/uapi.h). Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "supervisor/tunnel/uapi.h"

namespace icon::net {

using NetlinkMessage = std::vector<std::uint8_t>;

// rtnetlink. A link of kind "wireguard"; and its end.
NetlinkMessage new_wireguard_link(const std::string& interface);
NetlinkMessage delete_link(const std::string& interface);
// Generic netlink: which number has the family "wireguard"? Errors of reading: kInvalid.
NetlinkMessage ask_wireguard_family();
Result<std::uint16_t> read_family(std::span<const std::uint8_t> message);
// Errors: kLimit when one message cannot hold the settings.
Result<NetlinkMessage> set_wireguard(std::uint16_t family, const std::string& interface,
                                     const tunnel::Settings& settings);
NetlinkMessage get_wireguard(std::uint16_t family, const std::string& interface);
// Adds what one message of the answer says: an interface with many peers needs several. Errors:
// kInvalid.
Status read_wireguard(std::span<const std::uint8_t> message, tunnel::TunnelState& state);

}  // namespace icon::net
