#include "supervisor/net/fast_flows.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>

#include <cerrno>
#include <chrono>
#include <vector>

#include "supervisor/net/names.h"

namespace icon::net {
namespace {

constexpr std::uint32_t kFlowsPerRead = 4096;

std::uint32_t network_order(const Address& address) { return htonl(address.v4_host_order()); }

icon_flow_key key_of(const TrackedConnection& connection) {
  icon_flow_key key{};
  key.client = network_order(connection.answer_to.address);
  key.overlay = network_order(connection.answer_from.address);
  key.client_port = htons(connection.answer_to.port);
  key.port = htons(connection.answer_from.port);
  key.protocol = connection.protocol;
  return key;
}

// The programs' clock.
std::uint32_t now() {
  return static_cast<std::uint32_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count() >> 30);
}

}  // namespace

bool FastFlows::carries(const TrackedConnection& connection) const {
  if (!connection.answer_from.address.is_v4()) return false;
  const icon_flow_key key = key_of(connection);
  icon_flow flow{};
  if (bpf_map_lookup_elem(map_.get(), &key, &flow) != 0) return false;
  // Dialled here, both of them, or come by a tunnel.
  const bool translated = connection.to.address != connection.answer_from.address;
  return translated == (flow.way == kIconWayOutside);
}

bool FastFlows::adopt(const TrackedConnection& connection) const {
  const std::uint32_t way = connection.mark - kTunnelMarkBase;
  const bool came_by_tunnel = way > kIconWayOutside && way < kIconWaysMax &&
                              connection.to == connection.answer_from &&
                              connection.from == connection.answer_to;
  if (!came_by_tunnel || !connection.from.address.is_v4() || !connection.is_established())
    return false;
  const icon_flow_key key = key_of(connection);
  icon_flow flow{};
  flow.seen = now();
  flow.way = static_cast<std::uint16_t>(way);
  return bpf_map_update_elem(map_.get(), &key, &flow, BPF_NOEXIST) == 0;
}

Result<std::size_t> FastFlows::erase(const std::set<Address>& overlays, bool ended_only) const {
  std::vector<icon_flow_key> keys(kFlowsPerRead);
  std::vector<icon_flow> values(kFlowsPerRead);
  std::vector<icon_flow_key> leaving;
  std::uint32_t position = 0;
  std::set<std::uint32_t> wanted;
  for (const auto& overlay : overlays)
    if (overlay.is_v4()) wanted.insert(network_order(overlay));
  for (bool first = true, more = true; more; first = false) {
    std::uint32_t count = kFlowsPerRead;
    const int error = bpf_map_lookup_batch(map_.get(), first ? nullptr : &position, &position,
                                           keys.data(), values.data(), &count, nullptr);
    more = error == 0;
    if (error != 0 && error != -ENOENT) return fail_errno("read the map of flows", -error);
    for (std::uint32_t i = 0; i < count; ++i)
      if (wanted.contains(keys[i].overlay) && (!ended_only || icon_flow_has_ended(&values[i])))
        leaving.push_back(keys[i]);
  }
  for (const auto& key : leaving) (void)bpf_map_delete_elem(map_.get(), &key);
  return leaving.size();
}

}  // namespace icon::net
