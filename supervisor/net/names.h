// Names, marks and numbers of what the supervisor makes in the kernel. All of them follow from ids,
// so that a new supervisor finds what an earlier one made. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "supervisor/net/bpf/maps.h"

namespace icon::net {

inline constexpr std::string_view kTable = "icon";
inline constexpr std::string_view kContainerInterface = "eth0";
inline constexpr std::uint32_t kGateway = 0xa9fe0101;  // 169.254.1.1, the same on every host
inline constexpr std::string_view kGateway6 = "fe80::1";
inline constexpr std::array<std::uint8_t, 6> kGatewayMac{0x02, 0x1c, 0x0e, 0xfe, 0x01, 0x01};
// Inside, on the veth, in the tunnel and in the hold queue: the path MTU never changes, and with
// 60 bytes of tunnel around it a packet still fits into 1500 and into 1440 (PPPoE, 6in4).
inline constexpr int kMtu = 1380;

// Marks: "IC" in the upper half, so that they do not meet other software's.
inline constexpr std::uint32_t kTunnelMarkBase = 0x4943'0000;  // + 1.. per tunnel; also its table
inline constexpr std::uint32_t kTunnelsMax = 1024;
inline constexpr std::uint32_t kHoldMarkBase = 0x4943'8000;  // + 1.. per arriving ICON; also table
inline constexpr std::uint32_t kHoldsMax = 1024;
inline constexpr std::uint32_t kReleaseMark = 0x4943'ffff;  // leaving a queue; also the table
// What the fast path tells the rules about a packet that it leaves to them.
inline constexpr std::uint32_t kHomeMark = kIconMarkHome;
inline constexpr std::uint32_t kClashMark = kIconMarkClash;
inline constexpr std::uint32_t kRulePriority = 4943;
// A route of last resort: without veth or tunnel a packet for an ICON ends here, not outside.
inline constexpr std::uint32_t kBackstopMetric = 4943;

// What stubs carry. Sets of overlay addresses with a counter each, and one counter for all.
inline constexpr std::string_view kStubTo = "stub_to";  // towards the ICON
inline constexpr std::string_view kStubFrom = "stub_from";
inline constexpr std::string_view kStubBegun = "stub_begun";  // connections, by their first packet
inline constexpr std::string_view kSumTo = "sum_to";
inline constexpr std::string_view kSumFrom = "sum_from";
inline constexpr std::string_view kSumBegun = "sum_begun";

std::string veth_name(std::string_view icon_id);    // iv + 8
std::string hold_name(std::string_view icon_id);    // ih + 8
std::string tunnel_name(std::string_view peer_id);  // it + 8
std::string netns_name_of(std::string_view supervisor_id, std::string_view icon_id);

// Errors: kInvalid unless it is 52 characters of base32: names go into rules and paths.
Status check_id(std::string_view id);

}  // namespace icon::net
