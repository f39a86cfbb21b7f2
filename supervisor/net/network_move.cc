// What happens to an ICON's packets during a move: hold, release, rollback, divert, repoint.
// The order inside each function is the contract: see docs/network.md, "A move".
#include <algorithm>

#include "base/keys.h"
#include "base/log.h"
#include "supervisor/net/names.h"
#include "supervisor/net/network_impl.h"
#include "wire/overlay.h"

namespace icon::net {
namespace {

// How long a queue device outlives its release: packets on their way into it on another CPU.
constexpr Millis kSettle{500};

tl::unexpected<Error> wrong_phase(const std::string& icon_id, const char* needed) {
  return fail(Code::kConflict, "ICON " + short_id(icon_id) + " is not " + needed + " on this host");
}

}  // namespace

Status NetworkImpl::route_to(Icon& icon, int interface, std::uint32_t table) {
  ICON_CHECK(route_all(overlays_of(icon.rules), {.interface = interface, .table = table}));
  if (table != kMainTable) return {};
  icon.place.main = interface;
  const auto link = links_.find(interface);
  icon.place.main_link = link == links_.end() ? std::uint32_t{kIconLinkPlain} : link->second;
  load_fast(icon, fast_wanted(icon, icon.rules));
  return {};
}

// The maps never hold a queue device. It dies with this process and they do not: the programs would
// send into nothing, whatever the routes say by then. So the routes decide while an ICON is held.
Status NetworkImpl::route_into_queue(Icon& icon) {
  ICON_TRY(int device, routes_.link_index(icon.queue->interface()));
  ICON_CHECK(route_all(overlays_of(icon.rules), {.interface = device}));
  icon.place.main = 0;
  load_fast(icon, fast_wanted(icon, icon.rules));
  return {};
}

Status NetworkImpl::ensure_queue(Icon& icon) {
  if (icon.settling) icon.settling.reset();
  if (icon.queue) return {};
  const std::string name = hold_name(icon.rules.network.icon_id);
  ICON_TRY(icon.queue, HoldQueue::create(loop_, name, config_.hold));
  const auto set_up = [&]() -> Status {
    ICON_CHECK(prepare_interface(name, kQueueDevicePackets));
    // What a process of this host sent comes back through the device with our own address.
    return set_interface_sysctl(name, "accept_local", "1");
  };
  auto status = set_up();
  if (!status) icon.queue.reset();
  return status;
}

Status NetworkImpl::set_up_arrival(Icon& icon) {
  ICON_CHECK(ensure_queue(icon));
  icon.queue->hold();
  if (icon.rules.hold_mark == 0) {
    std::uint32_t mark = kHoldMarkBase + 1;
    const auto taken = [&](std::uint32_t wanted) {
      return std::any_of(icons_.begin(), icons_.end(),
                         [&](const auto& entry) { return entry.second.rules.hold_mark == wanted; });
    };
    while (taken(mark)) ++mark;
    if (mark >= kHoldMarkBase + kHoldsMax)
      return fail(Code::kLimit, "too many ICONs arrive at once");
    icon.rules.hold_mark = mark;
  }
  const std::uint32_t mark = icon.rules.hold_mark;
  ICON_TRY(int device, routes_.link_index(icon.queue->interface()));
  ICON_CHECK(route_all(everywhere(), {.interface = device, .table = mark}));
  // A stub's route stays; without one the queue is the way, or the reverse path check would drop
  // what the restored process sends.
  if (!icon.rules.has_stub) ICON_CHECK(route_into_queue(icon));
  return routes_.add_rule({mark, mark, kRulePriority});
}

Status NetworkImpl::switch_to(Icon& icon, int interface) {
  if (!icon.queue) return route_to(icon, interface, kMainTable);
  // What the queue writes back follows this table; only then does the route follow, so that what
  // arrives in between does not overtake.
  ICON_CHECK(route_to(icon, interface, kReleaseMark));
  icon.queue->release();
  ICON_CHECK(route_to(icon, interface, kMainTable));
  icon.queue->release();
  return {};
}

void NetworkImpl::settle_later(const std::string& icon_id, Icon& icon) {
  if (!icon.queue) return;
  const auto& held = icon.queue->state();
  log::info("net.queue", {{"icon", short_id(icon_id)},
                          {"released", held.released_packets},
                          {"dropped", held.dropped_packets},
                          {"forwarding", fast_ ? "bpf" : "nftables"},
                          {"fast_packets", forwarding().fast_packets}});
  icon.settling = std::make_unique<boost::asio::steady_timer>(loop_, kSettle);
  icon.settling->async_wait([this, icon_id](boost::system::error_code error) {
    if (error) return;
    const auto found = icons_.find(icon_id);
    if (found == icons_.end() || !found->second.settling) return;
    auto status = settle(found->second);
    // While it was held, connection tracking has seen connections that are the fast path's again.
    if (fast_) tidy_after(kTidySoon);
    if (status && found->second.rules.homecoming)
      status = transition(found->second, [](IconRules& rules) { rules.homecoming = false; });
    if (!status)
      log::warn("net.settle", {{"icon", short_id(icon_id)}, {"error", status.error().message}});
  });
}

Status NetworkImpl::settle(Icon& icon) {
  icon.settling.reset();
  if (icon.queue) icon.queue->close();
  icon.queue.reset();
  icon.ingress_held = false;
  // The routes through the device went with it.
  ICON_CHECK(
      unroute_all(overlays_of(icon.rules), {.interface = kAnyInterface, .table = kReleaseMark}));
  if (const std::uint32_t mark = icon.rules.hold_mark; mark != 0)
    ICON_CHECK(routes_.delete_rule({mark, mark, kRulePriority}));
  icon.rules.hold_mark = 0;
  return {};
}

Status NetworkImpl::release(const std::string& icon_id) {
  ICON_TRY(Icon * icon, find(icon_id));
  if (icon->rules.phase == Phase::kServing) return {};
  if (icon->rules.phase != Phase::kArriving) return wrong_phase(icon_id, "arriving");
  wait_for_sweep(*icon);
  {
    const Timed timed("release", icon_id);
    ICON_TRY(int veth, routes_.link_index(veth_name(icon_id)));
    // What arrives by tunnel, and what the ICON answers, still goes through the queue, behind what
    // waits there, until the rules let it pass directly.
    ICON_CHECK(switch_to(*icon, veth));
    ICON_CHECK(transition(*icon, [](IconRules& rules) {
      rules.phase = Phase::kServing;
      rules.guidance = {};
      rules.has_stub = false;
      rules.earlier_stub_peers.clear();
    }));
    icon->queue->release();
  }
  // Users have their answers; that they come in small segments is no reason to fail.
  if (const auto grown = grow_inside_mtu(icon_id); !grown)
    log::warn("net.mtu", {{"icon", short_id(icon_id)}, {"error", grown.error().message}});
  settle_later(icon_id, *icon);
  return {};
}

Status NetworkImpl::prepare_release(const std::string& icon_id) {
  ICON_TRY(Icon * icon, find(icon_id));
  if (icon->rules.phase != Phase::kArriving) return wrong_phase(icon_id, "arriving");
  sweep_again(*icon);
  return {};
}

Status NetworkImpl::prepare_hold(const std::string& icon_id) {
  ICON_TRY(Icon * icon, find(icon_id));
  return ensure_queue(*icon);
}

Status NetworkImpl::hold(const std::string& icon_id) {
  ICON_CHECK(hold_ingress(icon_id));
  return close_egress(icon_id);
}

Status NetworkImpl::hold_ingress(const std::string& icon_id) {
  ICON_TRY(Icon * icon, find(icon_id));
  if (icon->rules.phase != Phase::kServing) return wrong_phase(icon_id, "running");
  if (icon->ingress_held) return {};
  const Timed timed("hold_ingress", icon_id);
  ICON_CHECK(ensure_queue(*icon));
  icon->queue->hold();
  ICON_CHECK(route_into_queue(*icon));
  icon->ingress_held = true;
  return {};
}

Status NetworkImpl::close_egress(const std::string& icon_id) {
  ICON_TRY(Icon * icon, find(icon_id));
  if (icon->rules.phase != Phase::kServing) return wrong_phase(icon_id, "running");
  const Timed timed("close_egress", icon_id);
  return transition(*icon, [](IconRules& rules) { rules.muted = true; });
}

Status NetworkImpl::expect_from(const std::string& icon_id, const std::string& peer_id) {
  ICON_TRY(Icon * icon, find(icon_id));
  if (icon->rules.phase != Phase::kServing || !icon->rules.muted)
    return wrong_phase(icon_id, "held");
  if (icon->rules.next_host == peer_id) return {};
  const Timed timed("expect_from", icon_id);
  return transition(*icon, [&](IconRules& rules) { rules.next_host = peer_id; });
}

Status NetworkImpl::unhold(const std::string& icon_id) {
  ICON_TRY(Icon * icon, find(icon_id));
  if (icon->rules.phase != Phase::kServing) return wrong_phase(icon_id, "running");
  {
    const Timed timed("unhold", icon_id);
    ICON_TRY(int veth, routes_.link_index(veth_name(icon_id)));
    ICON_CHECK(transition(*icon, [](IconRules& rules) {
      rules.muted = false;
      rules.next_host.clear();
    }));
    ICON_CHECK(switch_to(*icon, veth));
    icon->ingress_held = false;
  }
  settle_later(icon_id, *icon);
  return {};
}

std::vector<std::vector<std::string>> undo_hold_commands(const std::string& icon_id,
                                                         const Address& overlay) {
  const std::string veth = veth_name(icon_id);
  std::vector<std::vector<std::string>> commands;
  const auto undo = [&](const char* ip, const char* family, const Address& address) {
    commands.push_back({"nft", "delete", "element", ip, std::string(kTable), "muted_veths",
                        "{ \"" + veth + "\" }"});
    commands.push_back({"ip", family, "route", "replace", address.to_string(), "dev", veth, "proto",
                        std::to_string(kRouteProtocol)});
  };
  undo("ip", "-4", overlay);
  if (const auto key = PublicKey::from_id(icon_id); key && has_ipv6())
    undo("ip6", "-6", wire::overlay_address6(*key));
  return commands;
}

Result<int> NetworkImpl::stub_interface(const StubTarget& target) {
  if (target.mode == StubMode::kRedirect && target.stub_port == 0)
    return fail(Code::kInvalid, "a redirecting stub needs the port of the stub process");
  const auto tunnel = tunnels_.find(target.peer_id);
  if (tunnel == tunnels_.end())
    return fail(Code::kNotFound, "no tunnel to " + short_id(target.peer_id) + ": open it first");
  return routes_.link_index(tunnel->second.interface);
}

Status NetworkImpl::divert(const std::string& icon_id, const StubTarget& target) {
  ICON_TRY(Icon * icon, find(icon_id));
  if (icon->rules.phase == Phase::kMoved) return repoint(icon_id, target);
  if (icon->rules.phase != Phase::kServing) return wrong_phase(icon_id, "running");
  ICON_TRY(int tunnel, stub_interface(target));
  {
    const Timed timed("divert", icon_id);
    // The way back first: an answer must find the tunnel open.
    ICON_CHECK(transition(*icon, [&](IconRules& rules) {
      rules.phase = Phase::kMoved;
      rules.next_host.clear();
      rules.has_stub = true;
      rules.stub = target;
      rules.muted = true;
    }));
    ICON_CHECK(switch_to(*icon, tunnel));
    icon->ingress_held = false;
  }
  settle_later(icon_id, *icon);
  return {};
}

Status NetworkImpl::repoint(const std::string& icon_id, const StubTarget& target) {
  ICON_TRY(Icon * icon, find(icon_id));
  if (icon->rules.phase != Phase::kMoved) return wrong_phase(icon_id, "moved away");
  ICON_TRY(int tunnel, stub_interface(target));
  const Timed timed("repoint", icon_id);
  ICON_CHECK(transition(*icon, [&](IconRules& rules) {
    auto& earlier = rules.earlier_stub_peers;
    if (rules.stub.peer_id != target.peer_id) earlier.push_back(rules.stub.peer_id);
    std::sort(earlier.begin(), earlier.end());
    earlier.erase(std::unique(earlier.begin(), earlier.end()), earlier.end());
    std::erase(earlier, target.peer_id);
    rules.stub = target;
  }));
  return switch_to(*icon, tunnel);
}

}  // namespace icon::net
