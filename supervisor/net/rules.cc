#include "supervisor/net/rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "supervisor/net/names.h"

namespace icon::net {
namespace {

constexpr std::size_t kTableBytesMax = 16 << 20;

// Why each chain is as it is: docs/network.md, "The rules".
constexpr std::string_view kTableText = R"(table {ip} icon
flush table {ip} icon
table {ip} icon {{
  counter policed {{ }}
  counter spoofed {{ }}
  counter leaked {{ }}
  counter foreign {{ }}
  counter muted {{ }}
  counter unknown {{ }}
  counter {sum_to} {{ }}
  counter {sum_from} {{ }}
  counter {sum_begun} {{ }}
  map dnat_tcp {{ type inet_service : {type} . inet_service; }}
  map dnat_udp {{ type inet_service : {type} . inet_service; }}
  map open_tcp {{ type inet_service : {type} . inet_service; }}
  set guided {{ type {type} . inet_service; flags interval; }}
  map guide_tcp {{ type inet_service : {type} . inet_service; }}
  map snat_tcp {{ type {type} . inet_service : {type} . inet_service; }}
  map snat_udp {{ type {type} . inet_service : {type} . inet_service; }}
  set overlays {{ type {type}; }}
  set veth_source {{ type ifname . {type}; }}
  set muted_veths {{ type ifname; }}
  map arriving_from {{ type ifname : mark; }}
  map arriving_to {{ type {type} : mark; }}
  set homecoming {{ type {type}; }}
  set deliver_to {{ type ifname . {type}; }}
  set deliver_from {{ type ifname . {type}; }}
  set {stub_to} {{ type {type}; counter; }}
  set {stub_from} {{ type {type}; counter; }}
  set {stub_begun} {{ type {type}; counter; }}
  map tunnel_mark {{ type ifname : mark; }}
  map previous_host {{ type {type} : mark; }}
  chain raw_in {{
    type filter hook prerouting priority raw; policy accept;
    iifname "iv*" goto raw_from_icon
    iifname "it*" goto raw_from_tunnel
    iifname "ih*" goto raw_from_hold
    meta mark {home_mark} {ip} daddr @overlays notrack accept
    {ip} daddr @overlays counter name foreign drop
  }}
  chain raw_from_icon {{
{quiet}    iifname . {ip} saddr != @veth_source counter name spoofed drop
    iifname @muted_veths counter name muted drop
    meta mark set iifname map @arriving_from notrack
  }}
  chain raw_from_tunnel {{
    iifname . {ip} daddr @deliver_to {ip} daddr @homecoming goto raw_coming_home
    iifname . {ip} daddr @deliver_to accept
    iifname . {ip} saddr @deliver_from accept
    counter name policed drop
  }}
  chain raw_coming_home {{
    tcp flags & (fin | syn | rst | ack) == syn accept
    meta mark set {ip} daddr map @arriving_to
    notrack
  }}
  chain raw_from_hold {{
    {ip} daddr @overlays meta mark set {release_mark} notrack
  }}
  chain mark_in {{
    type filter hook prerouting priority mangle; policy accept;
    ct state untracked accept
    iifname "it*" iifname . {ip} daddr @deliver_to goto mark_to_icon
    iifname "it*" goto mark_back_home
    iifname "iv*" meta mark 0 ct state invalid meta mark set {ip} saddr map @previous_host accept
    iifname "ih*" meta mark 0 ct state invalid meta mark set {ip} saddr map @previous_host accept
    iifname "iv*" goto mark_from_icon
    iifname "ih*" goto mark_from_icon
  }}
  chain mark_to_icon {{
    ct mark set iifname map @tunnel_mark
    meta mark set {ip} daddr map @arriving_to
  }}
  chain mark_from_icon {{
    meta mark {home_mark} return
    ct state new meta mark and 0xffff8000 == {tunnel_marks} ct mark set meta mark return
    ct mark and 0xffff8000 == {tunnel_marks} meta mark set ct mark return
    ct state new tcp flags & (fin | syn | rst | ack) != syn ct mark set {ip} saddr map @previous_host meta mark set ct mark return
    ct state new {ip} saddr . udp sport @snat_udp ct mark set {ip} saddr map @previous_host meta mark set ct mark
  }}
  chain mark_back_home {{
    jump mark_from_icon
    meta mark {home_mark} return
    meta mark 0 ct state new counter name unknown drop
  }}
  chain nat_in {{
    type nat hook prerouting priority dstnat; policy accept;
    {ip} daddr {address} tcp flags & (fin | syn | rst | ack) != syn dnat {ip} to tcp dport map @open_tcp
    {ip} daddr {address} {ip} saddr . tcp dport @guided dnat {ip} to tcp dport map @guide_tcp
    {ip} daddr {address} dnat {ip} to tcp dport map @dnat_tcp
    {ip} daddr {address} dnat {ip} to udp dport map @dnat_udp
  }}
  chain nat_local {{
    type nat hook output priority -100; policy accept;
    {ip} daddr {address} dnat {ip} to tcp dport map @dnat_tcp
    {ip} daddr {address} dnat {ip} to udp dport map @dnat_udp
  }}
  chain clamp {{
    type filter hook forward priority mangle; policy accept;
    oifname "it*" {ip} daddr @{stub_to} counter name {sum_to}
    iifname "it*" {ip} saddr @{stub_from} counter name {sum_from}
    iifname "iv*" tcp flags syn tcp option maxseg size set rt mtu
    oifname "iv*" tcp flags syn tcp option maxseg size set rt mtu
    oifname "ih*" tcp flags syn tcp option maxseg size set rt mtu
    oifname "it*" tcp flags syn tcp option maxseg size set rt mtu
  }}
  chain keep_source {{
    type nat hook postrouting priority 90; policy accept;
    oifname "it*" {ip} daddr @{stub_begun} counter name {sum_begun}
    meta mark {clash_mark} {ip} daddr @overlays snat {ip} to {ip} saddr random
    {ip} daddr @overlays snat {ip} to {ip} saddr
    oifname "it*" snat {ip} to {ip} saddr
  }}
  chain nat_out {{
    type nat hook postrouting priority srcnat; policy accept;
    {ip} saddr != @overlays return
    oifname "iv*" return
    oifname "it*" return
    oifname "ih*" return
    snat {ip} to {ip} saddr . udp sport map @snat_udp
    tcp flags & (fin | syn | rst | ack) != syn snat {ip} to {ip} saddr . tcp sport map @snat_tcp
    {outside}tcp flags & (fin | syn | rst | ack) == syn masquerade
    {outside}meta l4proto {{ udp, {pings} }} masquerade
  }}
  chain leaks {{
    type filter hook postrouting priority 150; policy accept;
    {ip} saddr != @overlays return
    oifname "iv*" return
    oifname "it*" return
    oifname "ih*" return
    counter name leaked drop
  }}
}}
)";

std::string quoted(const std::string& interface) { return '"' + interface + '"'; }

std::string pair_key(const std::string& interface, const Address& address) {
  return quoted(interface) + " . " + address.to_string();
}

std::string at_port(const Address& address, std::uint16_t port) {
  return fmt::format("{} . {}", address.to_string(), port);
}

// In `elements` the sets of table `ip6 icon` stand as "6/<set>".
std::string set_name(const Address& address, const char* name) {
  return (address.is_v4() ? "" : "6/") + std::string(name);
}

void add_translation(const IconRules& icon, const Address& overlay, const Address& public_address,
                     Elements& elements) {
  // The stub process listens on IPv4; users with IPv6 follow through the tunnel.
  const bool is_led = overlay.is_v4() && icon.guides();
  const auto at_stub =
      at_port(public_address, is_led ? icon.guidance.stub_port : icon.stub.stub_port);
  const bool redirect =
      is_led ? icon.guidance.everybody
             : overlay.is_v4() && icon.has_stub && icon.stub.mode == StubMode::kRedirect;
  for (const auto& port : icon.network.ports) {
    const bool tcp = port.protocol == Protocol::kTcp;
    const std::string key = std::to_string(port.public_port);
    elements[{set_name(overlay, tcp ? "dnat_tcp" : "dnat_udp"), key}] =
        tcp && redirect ? at_stub : at_port(overlay, port.container);
    if (tcp && is_led && !redirect) {
      elements[{"guide_tcp", key}] = at_stub;
      for (const auto& network : icon.guidance.networks)
        elements[{"guided", network.to_string() + " . " + key}] = "";
    }
    if (tcp) elements[{set_name(overlay, "open_tcp"), key}] = at_port(overlay, port.container);
    elements[{set_name(overlay, tcp ? "snat_tcp" : "snat_udp"), at_port(overlay, port.container)}] =
        at_port(public_address, port.public_port);
  }
}

// A JSON key or value of nft as nft reads it: interface names quoted, parts joined by dots.
Result<std::string> element_text(const json::Value& value) {
  if (value.is_int64()) return std::to_string(value.as_int64());
  if (value.is_uint64()) return std::to_string(value.as_uint64());
  if (value.is_string()) {
    const std::string text(value.as_string());
    return Address::parse(text) ? text : quoted(text);
  }
  if (value.is_object()) {
    // With its counter, which is read otherwise (stub_traffic.h).
    if (const auto* counted = value.as_object().if_contains("elem");
        counted != nullptr && counted->is_object())
      if (const auto* key = counted->as_object().if_contains("val")) return element_text(*key);
    if (const auto* prefix = value.as_object().if_contains("prefix");
        prefix != nullptr && prefix->is_object()) {
      ICON_TRY(const auto address, json::get_string(prefix->as_object(), "addr"));
      ICON_TRY(const auto length, json::get_int(prefix->as_object(), "len", 0, 128));
      return address + "/" + std::to_string(length);
    }
    if (const auto* parts = value.as_object().if_contains("concat");
        parts != nullptr && parts->is_array()) {
      std::string text;
      for (const auto& part : parts->as_array()) {
        ICON_TRY(std::string one, element_text(part));
        text += (text.empty() ? "" : " . ") + one;
      }
      return text;
    }
  }
  return fail(Code::kInvalid, "nftables: an element of unknown form");
}

Status add_elements_of(const json::Object& set, bool is_map, Elements& elements) {
  ICON_TRY(std::string name, json::get_string(set, "name"));
  if (const auto* family = set.if_contains("family"); family != nullptr && *family == "ip6")
    name = "6/" + name;
  const auto* list = set.if_contains("elem");
  if (list == nullptr || !list->is_array()) return {};
  for (const auto& element : list->as_array()) {
    if (!is_map) {
      ICON_TRY(std::string key, element_text(element));
      elements[{name, std::move(key)}] = "";
      continue;
    }
    if (!element.is_array() || element.as_array().size() != 2)
      return fail(Code::kInvalid, "nftables: a map element of unknown form");
    ICON_TRY(std::string key, element_text(element.as_array()[0]));
    ICON_TRY(std::string value, element_text(element.as_array()[1]));
    elements[{name, std::move(key)}] = std::move(value);
  }
  return {};
}

Result<json::Array> objects_of(const std::string& json_text) {
  ICON_TRY(json::Object root, json::parse_object(json_text, kTableBytesMax));
  auto* list = root.if_contains("nftables");
  if (list == nullptr || !list->is_array())
    return fail(Code::kInvalid, "nftables: no list of objects");
  return std::move(list->as_array());
}

}  // namespace

std::string table_script(const PublicAddresses& addresses, const std::string& external_interface) {
  const std::string outside =
      external_interface.empty() ? "" : "oifname " + quoted(external_interface) + " ";
  const auto table = [&](const char* ip, const char* type, const char* pings, const char* quiet,
                         const Address& address) {
    return fmt::format(fmt::runtime(kTableText), fmt::arg("ip", ip), fmt::arg("type", type),
                       fmt::arg("pings", pings), fmt::arg("quiet", quiet),
                       fmt::arg("address", address.to_string()),
                       fmt::arg("release_mark", kReleaseMark),
                       fmt::arg("tunnel_marks", kTunnelMarkBase), fmt::arg("home_mark", kHomeMark),
                       fmt::arg("clash_mark", kClashMark), fmt::arg("outside", outside),
                       fmt::arg("stub_to", kStubTo), fmt::arg("stub_from", kStubFrom),
                       fmt::arg("stub_begun", kStubBegun), fmt::arg("sum_to", kSumTo),
                       fmt::arg("sum_from", kSumFrom), fmt::arg("sum_begun", kSumBegun));
  };
  // What a kernel says to its link is no forgery. Without a public address nothing is published:
  // nobody dials "::".
  return table("ip", "ipv4_addr", "icmp", "", addresses.v4) +
         table("ip6", "ipv6_addr", "icmpv6", "    ip6 saddr { ::, fe80::/10 } drop\n",
               addresses.v6.value_or(Address::v6({})));
}

namespace {

void add_elements(const IconRules& icon, const Address& overlay, const Address* public_address,
                  const std::map<std::string, std::uint32_t>& marks, Elements& elements) {
  const auto add = [&](const char* set, const std::string& key, const std::string& value = "") {
    elements[{set_name(overlay, set), key}] = value;
  };
  const std::string text = overlay.to_string();
  const std::string veth = veth_name(icon.network.icon_id);
  add("overlays", text);
  if (icon.attached) {
    add("veth_source", pair_key(veth, overlay));
    if (icon.muted || icon.phase == Phase::kMoved) add("muted_veths", quoted(veth));
  }
  if (public_address != nullptr && (icon.phase != Phase::kArriving || icon.has_stub))
    add_translation(icon, overlay, *public_address, elements);
  if (icon.phase == Phase::kArriving) {
    add("arriving_from", quoted(veth), std::to_string(icon.hold_mark));
    add("arriving_to", text, std::to_string(icon.hold_mark));
  }
  if (icon.homecoming) add("homecoming", text);
  for (const auto& peer : icon.network.stub_hosts)
    if (marks.contains(peer)) add("deliver_to", pair_key(tunnel_name(peer), overlay));
  if (const auto mark = marks.find(icon.network.previous_host); mark != marks.end())
    add("previous_host", text, std::to_string(mark->second));
  if (marks.contains(icon.next_host))
    add("deliver_from", pair_key(tunnel_name(icon.next_host), overlay));
  if (!icon.has_stub) return;
  for (const auto set : {kStubTo, kStubFrom, kStubBegun}) add(set.data(), text);
  add("deliver_from", pair_key(tunnel_name(icon.stub.peer_id), overlay));
  for (const auto& peer : icon.earlier_stub_peers)
    add("deliver_from", pair_key(tunnel_name(peer), overlay));
}

}  // namespace

Elements elements_of(const IconRules& icon, const PublicAddresses& addresses,
                     const std::map<std::string, std::uint32_t>& marks) {
  Elements elements;
  if (icon.phase == Phase::kReserved) return elements;
  add_elements(icon, icon.network.overlay, &addresses.v4, marks, elements);
  if (icon.overlay6)
    add_elements(icon, *icon.overlay6, addresses.v6 ? &*addresses.v6 : nullptr, marks, elements);
  return elements;
}

Elements tunnel_elements(const std::string& peer_id, std::uint32_t mark) {
  const std::string key = quoted(tunnel_name(peer_id));
  return {{{"tunnel_mark", key}, std::to_string(mark)},
          {{"6/tunnel_mark", key}, std::to_string(mark)}};
}

std::vector<std::string> parts_of(const Elements::value_type& element) {
  std::vector<std::string> parts;
  for (const auto& text : {element.first.second, element.second}) {
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find(" . ", begin), text.size());
      parts.push_back(text.substr(begin, end - begin));
      begin = end + 3;
    }
  }
  return parts;
}

std::vector<std::string> parts_of(const IconRules& icon) {
  std::vector<std::string> parts{icon.network.overlay.to_string(),
                                 quoted(veth_name(icon.network.icon_id))};
  if (icon.overlay6) parts.push_back(icon.overlay6->to_string());
  return parts;
}

namespace {

std::string set_in_table(const std::string& name) {
  return name.starts_with("6/") ? "ip6 icon " + name.substr(2) : "ip icon " + name;
}

}  // namespace

std::string change_script(const Elements& current, const Elements& removable,
                          const Elements& wanted) {
  std::string removals;
  std::string additions;
  const auto remove = [&](const auto& id) {
    removals += fmt::format("delete element {} {{ {} }}\n", set_in_table(id.first), id.second);
  };
  for (const auto& [id, value] : removable)
    if (current.contains(id) && !wanted.contains(id)) remove(id);
  for (const auto& [id, value] : wanted) {
    const auto present = current.find(id);
    if (present != current.end() && present->second == value) continue;
    if (present != current.end()) remove(id);
    additions += fmt::format("add element {} {{ {}{}{} }}\n", set_in_table(id.first), id.second,
                             value.empty() ? "" : " : ", value);
  }
  return removals + additions;
}

Result<Elements> parse_elements(const std::string& json_text) {
  ICON_TRY(json::Array objects, objects_of(json_text));
  Elements elements;
  for (const auto& object : objects) {
    if (!object.is_object()) continue;
    for (const auto& [kind, body] : object.as_object())
      if ((kind == "set" || kind == "map") && body.is_object())
        ICON_CHECK(add_elements_of(body.as_object(), kind == "map", elements));
  }
  return elements;
}

Result<std::vector<std::pair<std::string, std::uint64_t>>> parse_counters(
    const std::string& json_text) {
  ICON_TRY(json::Array objects, objects_of(json_text));
  std::vector<std::pair<std::string, std::uint64_t>> counters;
  for (const auto& object : objects) {
    const auto* counter = object.is_object() ? object.as_object().if_contains("counter") : nullptr;
    if (counter == nullptr || !counter->is_object()) continue;
    ICON_TRY(std::string name, json::get_string(counter->as_object(), "name"));
    ICON_TRY(std::int64_t packets, json::get_int(counter->as_object(), "packets", 0, INT64_MAX));
    counters.emplace_back(std::move(name), static_cast<std::uint64_t>(packets));
  }
  return counters;
}

}  // namespace icon::net
