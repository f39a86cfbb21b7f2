#include "supervisor/net/network_impl.h"

#include <sodium.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/file.h"
#include "base/keys.h"
#include "base/log.h"
#include "supervisor/net/names.h"
#include "supervisor/net/netns_files.h"
#include "supervisor/net/tunnel_kernel.h"
#include "wire/overlay.h"

namespace icon::net {
namespace {

constexpr std::size_t kPortsMax = 256;
constexpr std::size_t kStubHostsMax = 64;

struct Sysctl {
  const char* path;
  const char* value;
};
// tcp_loose: a connection that began elsewhere is picked up in the middle. be_liberal: what was
// held back or took another way meanwhile is never "invalid", which would pass untranslated.
constexpr Sysctl kHostSysctls[] = {
    {"/proc/sys/net/ipv4/ip_forward", "1"},
    {"/proc/sys/net/netfilter/nf_conntrack_tcp_loose", "1"},
    {"/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal", "1"},
};

void keep_first(Status& first, Status next) {
  if (first && !next) first = std::move(next);
}

std::vector<Route> routes_like(const Route& route, const std::vector<Prefix>& destinations) {
  std::vector<Route> routes(destinations.size(), route);
  for (std::size_t i = 0; i < routes.size(); ++i) routes[i].destination = destinations[i];
  return routes;
}

bool is_rule_of_ours(const MarkRule& rule) {
  return rule.priority == kRulePriority && rule.mark >= kTunnelMarkBase && rule.mark == rule.table;
}

}  // namespace

Timed::Timed(const char* what, const std::string& icon_id)
    : what_(what), icon_id_(icon_id), begin_(std::chrono::steady_clock::now()) {}

Timed::~Timed() {
  const auto took = std::chrono::steady_clock::now() - begin_;
  log::info(std::string("net.") + what_,
            {{"icon", short_id(icon_id_)},
             {"took_us", std::chrono::duration_cast<Micros>(took).count()}});
}

bool has_ipv6() { return access("/proc/sys/net/ipv6", F_OK) == 0; }

Status set_interface_sysctl(const std::string& interface, const char* name, const char* value) {
  return write_kernel_file("/proc/sys/net/ipv4/conf/" + interface + "/" + name, value);
}

// No addresses of its own and nothing learned from the link: what is needed is set by us.
Status prepare_ipv6(const std::string& interface) {
  const std::string base = "/proc/sys/net/ipv6/conf/" + interface + "/";
  for (const auto& [name, value] : {std::pair{"addr_gen_mode", "1"},
                                    {"accept_ra", "0"},
                                    {"autoconf", "0"},
                                    {"accept_dad", "0"},
                                    {"disable_ipv6", "0"}})
    ICON_CHECK(write_kernel_file(base + name, value));
  return {};
}

Result<int> NetworkImpl::prepare_interface(const std::string& interface, int queue_packets) {
  ICON_TRY(Link link, routes_.link(interface));
  const int index = link.index;
  // The senders are users from anywhere: the loose check, whatever `all` says. It passes nobody on
  // an interface without an address.
  ICON_CHECK(set_interface_sysctl(interface, "rp_filter", "2"));
  if (ipv6_) ICON_CHECK(prepare_ipv6(interface));
  ICON_CHECK(routes_.add_address(index, Address::v4(kGateway), /*link_scope=*/true));
  ICON_CHECK(routes_.set_link_mtu(index, kMtu, queue_packets));
  ICON_CHECK(routes_.set_link_up(index));
  note_interface(interface, link);
  return index;
}

std::array<std::uint8_t, 32> tunnel_secret_from_seed(std::span<const std::uint8_t, 32> seed) {
  constexpr std::string_view kDomain = "icon1:tunnel-secret";
  std::array<std::uint8_t, 32> secret{};
  crypto_generichash(secret.data(), secret.size(),
                     reinterpret_cast<const unsigned char*>(kDomain.data()), kDomain.size(),
                     seed.data(), seed.size());
  return secret;
}

Result<std::unique_ptr<Network>> Network::create(IoContext& loop, NetworkConfig config) {
  if (!config.public_address.is_v4())
    return fail(Code::kInvalid, "public address " + config.public_address.to_string() +
                                    " is not IPv4: the data path is IPv4 only");
  ICON_CHECK(check_id(config.supervisor_id));
  ICON_CHECK(make_directories(config.run_directory, 0700));
  ICON_TRY(Nft nft, Nft::open());
  ICON_TRY(RouteSocket routes, RouteSocket::open());
  auto devices = make_tunnel_devices(
      loop, {.program = config.tunnel_program,
             .directory = config.run_directory,
             .port_first = config.tunnel_port_first,
             .limit = {config.tunnel_bits_per_second, config.tunnel_packets_per_second},
             .publish = config.publish_tunnels});
  auto network = std::make_unique<NetworkImpl>(loop, std::move(config), std::move(nft),
                                               std::move(routes), std::move(devices));
  ICON_CHECK(network->load());
  return network;
}

NetworkImpl::NetworkImpl(IoContext& loop, NetworkConfig config, Nft nft, RouteSocket routes,
                         std::unique_ptr<TunnelDevices> devices)
    : loop_(loop),
      config_(std::move(config)),
      nft_(std::move(nft)),
      routes_(std::move(routes)),
      devices_(std::move(devices)),
      tidying_(loop) {}

NetworkImpl::~NetworkImpl() {
  sodium_memzero(config_.tunnel_secret.data(), config_.tunnel_secret.size());
}

PublicAddresses NetworkImpl::public_addresses() const {
  return {config_.public_address, config_.public_address6};
}

std::vector<Prefix> NetworkImpl::overlays_of(const IconRules& rules) const {
  std::vector<Prefix> overlays{Prefix::of(rules.network.overlay, 32)};
  if (rules.overlay6) overlays.push_back(Prefix::of(*rules.overlay6, 128));
  return overlays;
}

std::vector<Prefix> NetworkImpl::everywhere() const {
  std::vector<Prefix> all{Prefix::of(Address{}, 0)};
  if (ipv6_) all.push_back(Prefix::of(Address::v6({}), 0));
  return all;
}

Status NetworkImpl::route_all(const std::vector<Prefix>& destinations, const Route& route) {
  return routes_.replace_routes(routes_like(route, destinations));
}

Status NetworkImpl::unroute_all(const std::vector<Prefix>& destinations, const Route& route) {
  return routes_.delete_routes(routes_like(route, destinations));
}

Status NetworkImpl::load() {
  ipv6_ = has_ipv6();
  ICON_CHECK(nft_.run(table_script(public_addresses(), config_.external_interface)));
  // After the table: its first rule brings connection tracking, and with it the sysctls, up.
  ICON_CHECK(set_host_sysctls());
  ICON_CHECK(reload_elements());
  ICON_TRY(watch_, NftWatch::create(loop_, [this] { heal(); }));
  // Queues went with the supervisor that had them: their rules lead nowhere.
  ICON_TRY(std::vector<MarkRule> rules, routes_.rules());
  for (const auto& rule : rules)
    if (is_rule_of_ours(rule) && rule.mark >= kHoldMarkBase && rule.mark != kReleaseMark)
      ICON_CHECK(routes_.delete_rule(rule));
  ICON_CHECK(routes_.add_rule({kReleaseMark, kReleaseMark, kRulePriority}));
  // The end first: what jumps over must know where to.
  for (const FrameRule rule : {FrameRule::kSkipEnd, FrameRule::kOwnPackets, FrameRule::kSkip})
    ICON_CHECK(routes_.add_rule(rule));
  ICON_CHECK(start_fast_path());
  return start_sweeper();
}

Status NetworkImpl::set_host_sysctls() {
  for (const auto& sysctl : kHostSysctls) ICON_CHECK(write_kernel_file(sysctl.path, sysctl.value));
  return ipv6_ ? set_host_sysctls6() : Status{};
}

Status NetworkImpl::set_host_sysctls6() {
  // A forwarding host stops to listen to routers, unless told otherwise first.
  ICON_TRY(std::vector<std::string> names, routes_.link_names());
  for (const auto& name : names) {
    const std::string path = "/proc/sys/net/ipv6/conf/" + name + "/accept_ra";
    if (const auto value = read_file(path, 16); value && value->starts_with("1"))
      ICON_CHECK(write_kernel_file(path, "2"));
  }
  return write_kernel_file("/proc/sys/net/ipv6/conf/all/forwarding", "1");
}

Status NetworkImpl::destroy() {
  Status first = remove_fast_path();
  for (auto& [id, icon] : icons_) {
    if (icon.queue) icon.queue->close();
    left_.merge(addresses_of(icon.rules));
  }
  icons_.clear();
  owners_.clear();
  overlays_.clear();
  short_names_.clear();
  unclaimed_.clear();
  tunnels_.clear();
  const auto links = routes_.link_names();
  if (!links) keep_first(first, fail(links.error()));
  for (const auto& name : links.value_or(std::vector<std::string>{})) {
    if (name.starts_with("iv") || name.starts_with("ih"))
      keep_first(first, routes_.delete_link(name));
    else if (name.starts_with("it"))
      keep_first(first, devices_->close(name));
  }
  for (const auto& name : list_netns(netns_name_of(config_.supervisor_id, "")))
    keep_first(first, remove_netns(name));
  if (const auto routes = routes_.own_routes())
    for (const auto& route : *routes) keep_first(first, routes_.delete_route(route));
  if (const auto rules = routes_.rules())
    for (const auto& rule : *rules)
      if (is_rule_of_ours(rule)) keep_first(first, routes_.delete_rule(rule));
  for (const FrameRule rule : {FrameRule::kSkip, FrameRule::kOwnPackets, FrameRule::kSkipEnd})
    keep_first(first, routes_.delete_rule(rule));
  watch_.reset();
  keep_first(first, nft_.run("add table ip icon\ndelete table ip icon\n"
                             "add table ip6 icon\ndelete table ip6 icon\n"));
  current_.clear();
  tidy_all();
  return first;
}

Status NetworkImpl::prune() {
  Status first;
  Elements wanted;
  std::vector<std::string> names;
  std::vector<std::uint32_t> marks{kReleaseMark};
  for (const auto& [id, icon] : icons_) {
    wanted.insert(icon.elements.begin(), icon.elements.end());
    names.push_back(veth_name(id));
    names.push_back(hold_name(id));
    names.push_back(netns_name(id));
    marks.push_back(icon.rules.hold_mark);
  }
  for (const auto& [peer, tunnel] : tunnels_) {
    wanted.merge(tunnel_elements(peer, tunnel.mark));
    names.push_back(tunnel.interface);
    marks.push_back(tunnel.mark);
  }
  const auto claimed = [&](const auto& all, const auto& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  };
  prune_fast();
  keep_first(first, run_change(Elements(current_), wanted));
  ICON_TRY(std::vector<std::string> links, routes_.link_names());
  for (const auto& name : links) {
    if (claimed(names, name)) continue;
    if (name.starts_with("iv")) keep_first(first, routes_.delete_link(name));
    if (name.starts_with("it")) keep_first(first, devices_->close(name));
  }
  for (const auto& name : list_netns(netns_name_of(config_.supervisor_id, "")))
    if (!claimed(names, name)) keep_first(first, remove_netns(name));
  ICON_TRY(std::vector<Route> routes, routes_.own_routes());
  for (const auto& route : routes) {
    const bool known = std::any_of(icons_.begin(), icons_.end(), [&](const auto& entry) {
      const auto overlays = overlays_of(entry.second.rules);
      return std::find(overlays.begin(), overlays.end(), route.destination) != overlays.end();
    });
    if (route.destination.length != 0 && !known) keep_first(first, routes_.delete_route(route));
  }
  ICON_TRY(std::vector<MarkRule> rules, routes_.rules());
  for (const auto& rule : rules)
    if (is_rule_of_ours(rule) && !claimed(marks, rule.mark))
      keep_first(first, routes_.delete_rule(rule));
  return first;
}

std::string NetworkImpl::netns_name(const std::string& icon_id) const {
  return netns_name_of(config_.supervisor_id, icon_id);
}

Result<NetworkImpl::Icon*> NetworkImpl::find(const std::string& icon_id) {
  const auto icon = icons_.find(icon_id);
  if (icon == icons_.end())
    return fail(Code::kNotFound, "no network of ICON " + short_id(icon_id) + " on this host");
  return &icon->second;
}

NetworkImpl::Icon& NetworkImpl::known_or_new(const IconNetwork& network) {
  Icon& icon = icons_[network.icon_id];
  icon.rules.network.icon_id = network.icon_id;
  icon.rules.network.overlay = network.overlay;
  if (const auto key = PublicKey::from_id(network.icon_id); key && ipv6_)
    icon.rules.overlay6 = wire::overlay_address6(*key);
  overlays_[network.overlay] = network.icon_id;
  short_names_[short_id(network.icon_id)] = network.icon_id;
  return icon;
}

Status NetworkImpl::check_network(const IconNetwork& icon) const {
  ICON_CHECK(check_id(icon.icon_id));
  if (!icon.overlay.is_v4())
    return fail(Code::kInvalid, "overlay address " + icon.overlay.to_string() + " is not IPv4");
  if (icon.ports.size() > kPortsMax || icon.stub_hosts.size() > kStubHostsMax)
    return fail(Code::kLimit, "ICON " + short_id(icon.icon_id) + " has too many ports or stubs");
  for (const auto& port : icon.ports)
    if (port.container == 0 || port.public_port == 0)
      return fail(Code::kInvalid, "port 0 cannot be published");
  for (const auto& peer : icon.stub_hosts)
    if (!tunnels_.contains(peer))
      return fail(Code::kNotFound, "no tunnel to stub host " + short_id(peer) + ": open it first");
  if (!icon.previous_host.empty() && std::find(icon.stub_hosts.begin(), icon.stub_hosts.end(),
                                               icon.previous_host) == icon.stub_hosts.end())
    return fail(Code::kInvalid, "the previous host is not among the stub hosts");
  const auto overlay = overlays_.find(icon.overlay);
  const auto name = short_names_.find(short_id(icon.icon_id));
  for (const auto& other : {overlay == overlays_.end() ? icon.icon_id : overlay->second,
                            name == short_names_.end() ? icon.icon_id : name->second})
    if (other != icon.icon_id)
      return fail(Code::kConflict, "ICON " + short_id(other) +
                                       " has the overlay address or the name of " + icon.icon_id +
                                       " on this host");
  return {};
}

IconState NetworkImpl::state_of(const std::string& icon_id, const Icon& icon) const {
  IconState state;
  state.icon_id = icon_id;
  state.overlay = icon.rules.network.overlay;
  state.attached = icon.rules.attached;
  state.held = icon.ingress_held || icon.rules.muted || icon.rules.phase == Phase::kArriving;
  if (icon.rules.has_stub) {
    state.stub_peer = icon.rules.stub.peer_id;
    state.stub_mode = icon.rules.stub.mode;
  }
  if (icon.queue) state.hold = icon.queue->state();
  return state;
}

std::vector<IconState> NetworkImpl::icons() const {
  std::vector<IconState> states;
  for (const auto& [id, icon] : icons_) states.push_back(state_of(id, icon));
  return states;
}

Result<IconState> NetworkImpl::icon_state(const std::string& icon_id) const {
  const auto icon = icons_.find(icon_id);
  if (icon == icons_.end())
    return fail(Code::kNotFound, "no network of ICON " + short_id(icon_id) + " on this host");
  return state_of(icon_id, icon->second);
}

Result<std::vector<std::pair<std::string, std::uint64_t>>> NetworkImpl::refused_packets() {
  ICON_TRY(std::string text, nft_.list_json("counters table ip icon"));
  ICON_TRY(auto counters, parse_counters(text));
  ICON_TRY(std::string text6, nft_.list_json("counters table ip6 icon"));
  ICON_TRY(auto counters6, parse_counters(text6));
  // The others count what was carried.
  std::erase_if(counters, [](const auto& counter) {
    return counter.first == kSumTo || counter.first == kSumFrom || counter.first == kSumBegun;
  });
  for (auto& [name, packets] : counters)
    for (const auto& [name6, packets6] : counters6)
      if (name6 == name) packets += packets6;
  return counters;
}

}  // namespace icon::net
