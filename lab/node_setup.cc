#include "lab/node_setup.h"

#include <fmt/format.h>

#include "base/assert.h"

namespace icon::lab {
namespace {

// At several gigabits a burst of single packets outgrows the default of 500 before the relay runs.
constexpr int kTapQueuePackets = 5000;
// A stream of 2 Gb/s over a round trip of 80 ms has 20 MB under way, and a buffer holds about a
// third of its size in payload.
constexpr const char* kTcpBuffersMax = "67108864";

const Interface& interface_on(const NodePlan& node, std::size_t link) {
  for (const auto& interface : node.interfaces)
    if (interface.link == link) return interface;
  ICON_ASSERT(false);
  return node.interfaces.front();
}

}  // namespace

std::string netns_name(const std::string& lab, const std::string& node) {
  return "icon-" + lab + "-" + node;
}

std::string creation_batch(const std::string& lab, const Topology& topology, const Plan& plan) {
  std::string batch;
  for (const auto& node : plan.nodes)
    batch += fmt::format("netns add {}\n", netns_name(lab, node.name));
  for (std::size_t i = 0; i < topology.links.size(); ++i) {
    const auto& link = topology.links[i];
    if (link.relayed) continue;
    const auto& a = interface_on(*plan.find(link.a), i);
    const auto& b = interface_on(*plan.find(link.b), i);
    batch +=
        fmt::format("link add {} address {} netns {} type veth peer name {} address {} netns {}\n",
                    a.name, a.mac, netns_name(lab, link.a), b.name, b.mac, netns_name(lab, link.b));
  }
  return batch;
}

std::string node_batch(const Topology& topology, const NodePlan& node) {
  std::string batch = "link set lo up\n";
  batch += fmt::format("address add {}/32 dev lo\n", node.loopback.to_string());
  for (const auto& user : node.users)
    batch += fmt::format("address add {}/32 dev lo\n", user.to_string());
  for (const auto& interface : node.interfaces) {
    if (topology.links[interface.link].relayed)
      batch += fmt::format("link set {} address {} txqueuelen {}\n", interface.name, interface.mac,
                           kTapQueuePackets);
    batch += fmt::format("link set {} up\n", interface.name);
    batch +=
        fmt::format("address add {}/31 dev {}\n", interface.address.to_string(), interface.name);
    // Known for good: a first packet does not pay a round trip for ARP.
    batch += fmt::format("neighbour add {} lladdr {} dev {} nud permanent\n",
                         interface.peer_address.to_string(), interface.peer_mac, interface.name);
  }
  for (const auto& route : node.routes)
    batch += fmt::format("route add {} via {} dev {} src {}\n", route.destination.to_string(),
                         route.via.to_string(), route.interface, node.loopback.to_string());
  return batch;
}

std::vector<KernelSetting> node_settings(bool router) {
  const std::string v4 = "/proc/sys/net/ipv4/";
  const std::string v6 = "/proc/sys/net/ipv6/";
  return {
      {v4 + "ip_forward", router ? "1" : "0", true},
      {v4 + "conf/all/rp_filter", "0", true},
      {v4 + "conf/default/rp_filter", router ? "0" : "2", true},
      {v4 + "icmp_ratelimit", "0", true},
      {v4 + "icmp_errors_use_inbound_ifaddr", "1", true},
      {v4 + "icmp_msgs_per_sec", "1000000"},
      {v4 + "icmp_msgs_burst", "1000000"},
      {v4 + "ping_group_range", "0 2147483647", true},
      {v4 + "tcp_rmem", std::string("4096 131072 ") + kTcpBuffersMax, true},
      {v4 + "tcp_wmem", std::string("4096 16384 ") + kTcpBuffersMax, true},
      {v4 + "tcp_congestion_control", "cubic"},
      // No link-local IPv6 and no solicitations on links that are IPv4 only.
      {v6 + "conf/all/addr_gen_mode", "1"},
      {v6 + "conf/default/addr_gen_mode", "1"},
  };
}

}  // namespace icon::lab
