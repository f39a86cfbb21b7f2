#include "supervisor/net/fast_rules.h"

#include <arpa/inet.h>

#include <cstring>

#include "supervisor/net/names.h"

namespace icon::net {
namespace {

std::uint32_t network_order(const Address& address) { return htonl(address.v4_host_order()); }

void add_ports(const IconRules& icon, FastEntries& entries) {
  for (const auto& port : icon.network.ports) {
    icon_port_key key{};
    key.port = htons(port.public_port);
    key.protocol = port.protocol == Protocol::kTcp ? IPPROTO_TCP : IPPROTO_UDP;
    icon_port value{};
    value.overlay = network_order(icon.network.overlay);
    value.port = htons(port.container);
    entries[{FastMap::kPorts, fast_bytes(key)}] = fast_bytes(value);
  }
}

}  // namespace

FastEntries fast_entries_of(const IconRules& icon, const FastPlace& place,
                            const std::map<std::string, std::uint32_t>& marks) {
  FastEntries entries;
  if (icon.phase == Phase::kReserved) return entries;
  const std::uint32_t overlay = network_order(icon.network.overlay);
  const bool arriving = icon.phase == Phase::kArriving;
  if (!arriving || icon.has_stub) add_ports(icon, entries);
  const bool speaks = icon.phase == Phase::kServing && !icon.muted;
  if (icon.attached && place.veth != 0)
    entries[{FastMap::kInterfaces, fast_bytes(place.veth)}] =
        fast_bytes(icon_interface{overlay, kIconWayOutside, speaks ? 0u : 1u});
  if (place.main != 0) {
    const icon_target main{static_cast<std::uint32_t>(place.main), place.main_link};
    icon_overlay value{};
    if (!arriving || icon.has_stub) value.from_outside = main;
    // What arrives by tunnel before the release waits in the queue: the rules send it there.
    if (!arriving) value.from_tunnel = main;
    // Which of them are led elsewhere the rules know.
    value.redirects_tcp = icon.guides() || (icon.has_stub && icon.stub.mode == StubMode::kRedirect);
    entries[{FastMap::kOverlays, fast_bytes(overlay)}] = fast_bytes(value);
  }
  std::map<std::uint32_t, std::uint32_t> allowed;
  const auto allow = [&](const std::string& peer, std::uint32_t bit) {
    if (const auto mark = marks.find(peer); mark != marks.end())
      allowed[mark->second - kTunnelMarkBase] |= bit;
  };
  for (const auto& peer : icon.network.stub_hosts) allow(peer, kIconDeliverTo);
  allow(icon.next_host, kIconDeliverFrom);
  if (icon.has_stub) {
    allow(icon.stub.peer_id, kIconDeliverFrom);
    for (const auto& peer : icon.earlier_stub_peers) allow(peer, kIconDeliverFrom);
  }
  for (const auto& [way, bits] : allowed)
    entries[{FastMap::kDeliveries, fast_bytes(icon_delivery_key{way, overlay})}] = fast_bytes(bits);
  return entries;
}

FastEntries closed(const FastEntries& entries) {
  FastEntries result;
  for (const auto& [id, value] : entries) {
    if (id.first != FastMap::kInterfaces) continue;
    icon_interface interface {};
    std::memcpy(&interface, value.data(), sizeof interface);
    interface.closed = 1;
    result[id] = fast_bytes(interface);
  }
  return result;
}

FastEntries fast_tunnel_entries(int interface, std::uint32_t link, std::uint32_t mark) {
  const std::uint32_t way = mark - kTunnelMarkBase;
  return {{{FastMap::kTunnels, fast_bytes(way)},
           fast_bytes(icon_target{static_cast<std::uint32_t>(interface), link})},
          {{FastMap::kInterfaces, fast_bytes(interface)}, fast_bytes(icon_interface{0, way, 0})}};
}

FastEntries fast_outside_entries(int interface) {
  return {{{FastMap::kInterfaces, fast_bytes(interface)},
           fast_bytes(icon_interface{0, kIconWayOutside, 0})}};
}

}  // namespace icon::net
