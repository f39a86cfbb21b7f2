// The IP packet inside a transport message. Pure; any thread.
#pragma once

#include <optional>

#include "supervisor/tunnel/wg/messages.h"

namespace icon::tunnel::wg {

struct InnerPacket {
  std::size_t bytes = 0;  // as the packet itself says
  bool is_v4 = true;
  // Inside the packet, in network order.
  const std::uint8_t* source = nullptr;
  const std::uint8_t* destination = nullptr;
};

// `text` may be longer (padding). Nothing: not IP, or truncated.
std::optional<InnerPacket> parse_inner_packet(Bytes text);

}  // namespace icon::tunnel::wg
