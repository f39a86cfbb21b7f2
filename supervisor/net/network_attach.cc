// Namespaces and veth pairs: what makes an ICON's inside look the same on every host.
#include "base/file.h"
#include "base/keys.h"
#include "base/netns.h"
#include "supervisor/net/names.h"
#include "supervisor/net/netns_files.h"
#include "supervisor/net/network_impl.h"
#include "wire/overlay.h"

namespace icon::net {
namespace {

constexpr int kVethQueuePackets = 1000;

// The agent discovers without capabilities, and a service of any user binds its port.
Status set_inside_sysctls(const UniqueFd& netns, bool ipv6) {
  return in_netns(netns, [ipv6]() -> Status {
    if (ipv6) ICON_CHECK(prepare_ipv6(std::string(kContainerInterface)));
    ICON_CHECK(write_kernel_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"));
    // A path with a smaller MTU that tells nobody: TCP finds out by itself.
    ICON_CHECK(write_kernel_file("/proc/sys/net/ipv4/tcp_mtu_probing", "1"));
    return write_kernel_file("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
  });
}

Result<RouteSocket> open_inside(const UniqueFd& netns) {
  Result<RouteSocket> inside = fail(Code::kInternal, "not opened");
  ICON_CHECK(in_netns(netns, [&]() -> Status {
    inside = RouteSocket::open();
    return {};
  }));
  return inside;
}

constexpr int kLoopbackMtu = 65'536;

}  // namespace

// A restored TCP socket has the segment size that it was connected with, 536 less options, because
// that was before it had its options back (TCP_REPAIR_OPTIONS). The kernel works it out anew when
// the path's MTU is not what it was. So the links grow by a byte when everything is restored.
Status NetworkImpl::set_inside_mtu(RouteSocket& inside, Mtu mtu) {
  const int missing = mtu == Mtu::kFull ? 0 : 1;
  ICON_TRY(const int eth0, inside.link_index(std::string(kContainerInterface)));
  ICON_CHECK(inside.set_link_mtu(eth0, kMtu - missing));
  ICON_TRY(const int loopback, inside.link_index("lo"));
  return inside.set_link_mtu(loopback, kLoopbackMtu - missing);
}

Status NetworkImpl::grow_inside_mtu(const std::string& icon_id) {
  ICON_TRY(const UniqueFd netns, ensure_netns(netns_name(icon_id)));
  ICON_TRY(RouteSocket inside, open_inside(netns));
  return set_inside_mtu(inside, Mtu::kFull);
}

Status NetworkImpl::set_up_veth(const UniqueFd& netns, RouteSocket& inside,
                                const IconNetwork& icon) {
  const std::string name = veth_name(icon.icon_id);
  const bool here = routes_.link_index(name).has_value();
  if (here && inside.link_index(std::string(kContainerInterface))) return {};
  // Its other end is in a namespace that has lost its name.
  if (here) ICON_CHECK(routes_.delete_link(name));
  ICON_TRY(PublicKey key, PublicKey::from_id(icon.icon_id));
  return routes_.add_veth({.name = name,
                           .mac = kGatewayMac,
                           .peer_name = std::string(kContainerInterface),
                           .peer_mac = wire::overlay_mac(key),
                           .peer_netns_fd = netns.get(),
                           .mtu = kMtu});
}

Status NetworkImpl::set_up_inside(const UniqueFd& netns, const IconNetwork& icon, Mtu mtu) {
  ICON_TRY(RouteSocket inside, open_inside(netns));
  ICON_CHECK(set_up_veth(netns, inside, icon));
  ICON_CHECK(set_inside_sysctls(netns, ipv6_));
  ICON_TRY(int loopback, inside.link_index("lo"));
  ICON_CHECK(inside.set_link_up(loopback));
  ICON_TRY(int eth0, inside.link_index(std::string(kContainerInterface)));
  ICON_CHECK(set_inside_mtu(inside, mtu));
  const Address gateway = Address::v4(kGateway);
  ICON_CHECK(inside.add_address(eth0, icon.overlay));
  ICON_CHECK(inside.set_link_up(eth0));
  // Permanent on both sides: no ARP, hence nothing to lose while packets are held.
  ICON_CHECK(inside.set_neighbour(eth0, gateway, kGatewayMac));
  if (ipv6_) ICON_CHECK(set_up_inside6(inside, eth0, icon));
  return inside.replace_route({.destination = Prefix::of(Address{}, 0),
                               .interface = eth0,
                               .gateway = gateway,
                               .via_gateway = true});
}

Status NetworkImpl::set_up_inside6(RouteSocket& inside, int eth0, const IconNetwork& icon) {
  ICON_TRY(PublicKey key, PublicKey::from_id(icon.icon_id));
  ICON_TRY(Address gateway, Address::parse(kGateway6));
  ICON_CHECK(inside.add_address(eth0, wire::overlay_address6(key)));
  ICON_CHECK(inside.set_neighbour(eth0, gateway, kGatewayMac));
  return inside.replace_route({.destination = Prefix::of(Address::v6({}), 0),
                               .interface = eth0,
                               .gateway = gateway,
                               .via_gateway = true});
}

Status NetworkImpl::set_up_namespace(const IconNetwork& icon, Mtu mtu) {
  ICON_TRY(UniqueFd netns, ensure_netns(netns_name(icon.icon_id)));
  ICON_CHECK(set_up_inside(netns, icon, mtu));
  const std::string name = veth_name(icon.icon_id);
  ICON_TRY(PublicKey key, PublicKey::from_id(icon.icon_id));
  ICON_TRY(int veth, prepare_interface(name, kVethQueuePackets));
  icons_[icon.icon_id].place.veth = veth;
  ICON_CHECK(routes_.set_neighbour(veth, icon.overlay, wire::overlay_mac(key)));
  if (ipv6_)
    ICON_CHECK(routes_.set_neighbour(veth, wire::overlay_address6(key), wire::overlay_mac(key)));
  return route_all(overlays_of(icons_[icon.icon_id].rules), {.metric = kBackstopMetric});
}

Status NetworkImpl::tear_down_namespace(const std::string& icon_id) {
  if (const auto icon = icons_.find(icon_id); icon != icons_.end()) icon->second.place.veth = 0;
  ICON_CHECK(routes_.delete_link(veth_name(icon_id)));
  return remove_netns(netns_name(icon_id));
}

Status NetworkImpl::attach(const IconNetwork& network) {
  ICON_CHECK(check_network(network));
  const auto existing = icons_.find(network.icon_id);
  if (existing != icons_.end() && existing->second.rules.phase == Phase::kServing) {
    ICON_CHECK(set_up_namespace(network, Mtu::kFull));
    return transition(existing->second, [&](IconRules& rules) { rules.network = network; });
  }
  if (existing != icons_.end() && existing->second.rules.phase != Phase::kReserved)
    return fail(Code::kConflict, "ICON " + short_id(network.icon_id) +
                                     " arrives here or has moved: release or remove it first");
  Icon& icon = known_or_new(network);
  const auto set_up = [&]() -> Status {
    ICON_CHECK(settle(icon));
    ICON_CHECK(set_up_namespace(network, Mtu::kFull));
    ICON_CHECK(transition(icon, [&](IconRules& rules) {
      rules.network = network;
      rules.phase = Phase::kServing;
      rules.attached = true;
    }));
    ICON_TRY(int veth, routes_.link_index(veth_name(network.icon_id)));
    return route_to(icon, veth, kMainTable);
  };
  auto status = set_up();
  if (!status) (void)forget(network.icon_id);
  return status;
}

Status NetworkImpl::attach_held(const IconNetwork& network) {
  ICON_CHECK(check_network(network));
  const auto existing = icons_.find(network.icon_id);
  if (existing != icons_.end() && existing->second.rules.phase == Phase::kServing)
    return fail(Code::kConflict, "ICON " + short_id(network.icon_id) + " already runs here");
  Icon& icon = known_or_new(network);
  sweep(icon);
  const auto set_up = [&]() -> Status {
    ICON_CHECK(settle(icon));
    // Connections that began elsewhere are about to come: whoever changed them since.
    ICON_CHECK(set_host_sysctls());
    ICON_CHECK(set_up_namespace(network, Mtu::kBeforeRestore));
    ICON_CHECK(set_up_arrival(icon));
    return transition(icon, [&](IconRules& rules) {
      rules.network = network;
      rules.phase = Phase::kArriving;
      rules.homecoming = rules.has_stub;
      rules.attached = true;
      rules.muted = false;
    });
  };
  auto status = set_up();
  if (!status) (void)detach(network.icon_id);
  return status;
}

Status NetworkImpl::detach(const std::string& icon_id) {
  const auto found = icons_.find(icon_id);
  if (found == icons_.end()) return tear_down_namespace(icon_id);
  Icon& icon = found->second;
  if (!icon.rules.has_stub) return forget(icon_id);
  if (icon.rules.phase == Phase::kArriving) ICON_CHECK(settle(icon));
  ICON_CHECK(tear_down_namespace(icon_id));
  return transition(icon, [](IconRules& rules) {
    rules.phase = Phase::kMoved;
    rules.homecoming = false;
    rules.attached = false;
    rules.muted = false;
  });
}

Status NetworkImpl::forget(const std::string& icon_id) {
  ICON_TRY(Icon * icon, find(icon_id));
  ICON_CHECK(settle(*icon));
  ICON_CHECK(transition(*icon, [](IconRules& rules) { rules.phase = Phase::kReserved; }));
  ICON_CHECK(tear_down_namespace(icon_id));
  const auto overlays = overlays_of(icon->rules);
  ICON_CHECK(unroute_all(overlays, {.interface = kAnyInterface}));
  ICON_CHECK(unroute_all(overlays, {.metric = kBackstopMetric}));
  overlays_.erase(icon->rules.network.overlay);
  short_names_.erase(short_id(icon_id));
  left_.merge(addresses_of(icon->rules));
  icons_.erase(icon_id);
  tidy_after(kTidySoon);
  return {};
}

Status NetworkImpl::attach_frozen(const IconNetwork& network) {
  ICON_CHECK(check_network(network));
  if (icons_.contains(network.icon_id))
    return fail(Code::kConflict, "ICON " + short_id(network.icon_id) + " is attached already");
  Icon& icon = known_or_new(network);
  ICON_CHECK(settle(icon));
  ICON_CHECK(ensure_queue(icon));
  ICON_TRY(const int device, routes_.link_index(icon.queue->interface()));
  icon.queue->hold();
  ICON_CHECK(transition(icon, [&](IconRules& rules) {
    rules.network = network;
    rules.phase = Phase::kServing;
    rules.attached = true;
    rules.muted = true;
  }));
  ICON_CHECK(route_to(icon, device, kMainTable));
  icon.ingress_held = true;
  return {};
}

Status NetworkImpl::attach_stub(const IconNetwork& network, const StubTarget& target) {
  ICON_CHECK(check_network(network));
  ICON_TRY(int tunnel, stub_interface(target));
  const auto existing = icons_.find(network.icon_id);
  if (existing != icons_.end() && existing->second.rules.phase == Phase::kServing)
    return divert(network.icon_id, target);
  if (existing != icons_.end() && existing->second.rules.phase == Phase::kMoved)
    return repoint(network.icon_id, target);
  Icon& icon = known_or_new(network);
  const auto set_up = [&]() -> Status {
    ICON_CHECK(settle(icon));
    ICON_CHECK(route_all(overlays_of(icon.rules), {.metric = kBackstopMetric}));
    ICON_CHECK(transition(icon, [&](IconRules& rules) {
      rules.network = network;
      rules.phase = Phase::kMoved;
      // The frozen original of a supervisor that died between COMMIT and detach().
      rules.attached = routes_.link_index(veth_name(network.icon_id)).has_value();
      rules.has_stub = true;
      rules.stub = target;
    }));
    return route_to(icon, tunnel, kMainTable);
  };
  auto status = set_up();
  if (!status) (void)forget(network.icon_id);
  return status;
}

Status NetworkImpl::remove_stub(const std::string& icon_id) {
  ICON_TRY(Icon * icon, find(icon_id));
  if (icon->rules.phase != Phase::kMoved)
    return fail(Code::kConflict, "ICON " + short_id(icon_id) + " runs here or is about to");
  return forget(icon_id);
}

Status NetworkImpl::guide(const std::string& icon_id, const Guidance& guidance) {
  ICON_TRY(Icon * icon, find(icon_id));
  if (icon->rules.phase != Phase::kServing)
    return fail(Code::kNotFound, "ICON " + short_id(icon_id) + " does not run here");
  for (const auto& network : guidance.networks)
    if (!network.address.is_v4() || network != Prefix::of_user(network.address))
      return fail(Code::kInvalid, network.to_string() + " is no IPv4 network of 256 addresses");
  return transition(*icon, [&](IconRules& rules) { rules.guidance = guidance; });
}

Status NetworkImpl::allow_stub_host(const std::string& icon_id, const std::string& peer_id) {
  ICON_TRY(Icon * icon, find(icon_id));
  if (!tunnels_.contains(peer_id))
    return fail(Code::kNotFound, "no tunnel to stub host " + short_id(peer_id));
  return transition(*icon, [&](IconRules& rules) {
    std::erase(rules.network.stub_hosts, peer_id);
    rules.network.stub_hosts.push_back(peer_id);
  });
}

Status NetworkImpl::deny_stub_host(const std::string& icon_id, const std::string& peer_id) {
  ICON_TRY(Icon * icon, find(icon_id));
  return transition(*icon, [&](IconRules& rules) {
    std::erase(rules.network.stub_hosts, peer_id);
    if (rules.network.previous_host == peer_id) rules.network.previous_host.clear();
  });
}

}  // namespace icon::net
