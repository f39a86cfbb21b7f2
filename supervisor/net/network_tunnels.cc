// One tunnel per peer: its interface, its mark, and the table that routes by that mark.
#include <sodium.h>

#include <algorithm>
#include <set>

#include "base/keys.h"
#include "supervisor/net/names.h"
#include "supervisor/net/network_impl.h"

namespace icon::net {
namespace {

constexpr int kTunnelQueuePackets = 1000;

// Bound to the peer: two tunnels never share a key.
TunnelKey private_key_for(const std::array<std::uint8_t, 32>& secret, const std::string& peer_id) {
  const std::string message = "icon1:tunnel-key:" + peer_id;
  TunnelKey key{};
  crypto_generichash(key.data(), key.size(), reinterpret_cast<const unsigned char*>(message.data()),
                     message.size(), secret.data(), secret.size());
  return key;
}

}  // namespace

Result<std::uint32_t> NetworkImpl::mark_for(const std::string& interface) const {
  // An earlier supervisor's choice stands: live connections carry it.
  const auto present = current_.find({"tunnel_mark", '"' + interface + '"'});
  if (present != current_.end()) return static_cast<std::uint32_t>(std::stoul(present->second));
  std::set<std::string> taken;
  for (const auto& [id, value] : current_)
    if (id.first == "tunnel_mark") taken.insert(value);
  for (std::uint32_t mark = kTunnelMarkBase + 1; mark <= kTunnelMarkBase + kTunnelsMax; ++mark)
    if (!taken.contains(std::to_string(mark))) return mark;
  return fail(Code::kLimit, "too many tunnels");
}

Result<TunnelEnd> NetworkImpl::open_tunnel(const std::string& peer_id) {
  ICON_CHECK(check_id(peer_id));
  const std::string interface = tunnel_name(peer_id);
  for (const auto& [other, tunnel] : tunnels_)
    if (other != peer_id && tunnel.interface == interface)
      return fail(Code::kConflict, "peers " + other + " and " + peer_id + " share a short name");
  ICON_TRY(std::uint32_t mark, mark_for(interface));
  TunnelKey key = private_key_for(config_.tunnel_secret, peer_id);
  auto opened = devices_->open(interface, key);
  sodium_memzero(key.data(), key.size());
  if (!opened) return fail(opened.error());
  ICON_TRY(int device, prepare_interface(interface, kTunnelQueuePackets));
  ICON_CHECK(routes_.replace_route(
      {.destination = Prefix::of(Address{}, 0), .interface = device, .table = mark}));
  ICON_CHECK(routes_.add_rule({mark, mark, kRulePriority}));
  ICON_CHECK(run_change({}, tunnel_elements(peer_id, mark)));
  Tunnel& tunnel = tunnels_[peer_id];
  tunnel.interface = interface;
  tunnel.mark = mark;
  tunnel.local = {opened->public_key, {config_.public_address, opened->listen_port}};
  tunnel.remote = {opened->peer_public_key, opened->peer_endpoint};
  return tunnel.local;
}

Status NetworkImpl::connect_tunnel(const std::string& peer_id, const TunnelEnd& remote) {
  const auto tunnel = tunnels_.find(peer_id);
  if (tunnel == tunnels_.end())
    return fail(Code::kNotFound, "no tunnel to " + short_id(peer_id) + ": open it first");
  ICON_CHECK(devices_->set_peer(tunnel->second.interface, remote.public_key, remote.endpoint));
  tunnel->second.remote = remote;
  return {};
}

bool NetworkImpl::uses_tunnel(const Icon& icon, const std::string& peer_id) const {
  const auto& hosts = icon.rules.network.stub_hosts;
  const auto& earlier = icon.rules.earlier_stub_peers;
  return (icon.rules.has_stub && icon.rules.stub.peer_id == peer_id) ||
         std::find(hosts.begin(), hosts.end(), peer_id) != hosts.end() ||
         std::find(earlier.begin(), earlier.end(), peer_id) != earlier.end();
}

Status NetworkImpl::close_tunnel(const std::string& peer_id) {
  const auto tunnel = tunnels_.find(peer_id);
  if (tunnel == tunnels_.end()) return {};
  for (const auto& [id, icon] : icons_)
    if (uses_tunnel(icon, peer_id))
      return fail(Code::kConflict,
                  "the tunnel to " + short_id(peer_id) + " carries ICON " + short_id(id));
  const std::uint32_t mark = tunnel->second.mark;
  ICON_CHECK(devices_->close(tunnel->second.interface));
  ICON_CHECK(run_change(tunnel_elements(peer_id, mark), {}));
  ICON_CHECK(routes_.delete_rule({mark, mark, kRulePriority}));
  tunnels_.erase(tunnel);
  return {};
}

std::vector<TunnelState> NetworkImpl::tunnels() {
  std::vector<TunnelState> states;
  for (const auto& [peer, tunnel] : tunnels_) {
    TunnelState state;
    state.peer_id = peer;
    state.interface = tunnel.interface;
    state.local = tunnel.local;
    state.remote = tunnel.remote;
    state.mark = tunnel.mark;
    if (const auto status = devices_->status(tunnel.interface)) {
      state.pid = status->pid;
      state.last_handshake_ms = status->last_handshake_ms;
      state.rx_bytes = status->rx_bytes;
      state.tx_bytes = status->tx_bytes;
      state.dropped_packets = status->dropped_packets;
    }
    for (const auto& [id, icon] : icons_)
      if (uses_tunnel(icon, peer)) state.icons.push_back(id);
    states.push_back(std::move(state));
  }
  return states;
}

}  // namespace icon::net
