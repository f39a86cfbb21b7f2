// The fast path beside the rules: probed at the start, and from then on kept in step with them.
#include <net/if_arp.h>

#include <algorithm>

#include "base/keys.h"
#include "base/log.h"
#include "supervisor/net/names.h"
#include "supervisor/net/network_impl.h"

namespace icon::net {
namespace {

// What `kept` does not have, or, with `changed`, has with another value.
FastEntries without(const FastEntries& entries, const FastEntries& kept, bool changed = false) {
  FastEntries left;
  for (const auto& [id, value] : entries)
    if (const auto same = kept.find(id); same == kept.end() || (changed && same->second != value))
      left[id] = value;
  return left;
}

bool is_ours(const std::string& interface) {
  return interface.starts_with("iv") || interface.starts_with("ih") || interface.starts_with("it");
}

// The key of a set of interfaces, as nft writes it: in quotes.
std::string unquoted(const std::string& text) { return text.substr(1, text.size() - 2); }

}  // namespace

// Users may come by any of them, whichever has the public address: that may lie on lo, and an
// answer may leave by another interface than its question came by. An interface that is not among
// them costs nothing but speed: the rules serve it.
Result<std::vector<Link>> NetworkImpl::links_outside() {
  if (!config_.external_interface.empty()) {
    ICON_TRY(Link outside, routes_.link(config_.external_interface));
    if (outside.type != ARPHRD_ETHER)
      return fail(Code::kUnavailable,
                  "external_interface " + config_.external_interface + " is no Ethernet");
    return std::vector<Link>{outside};
  }
  const auto with_address = interface_of(config_.public_address);
  ICON_TRY(const std::set<int> to_gateways, routes_.gateway_interfaces());
  ICON_TRY(const std::vector<std::string> names, routes_.link_names());
  std::vector<Link> found;
  for (const auto& name : names) {
    const auto link = routes_.link(name);
    if (!link || link->type != ARPHRD_ETHER || is_ours(name)) continue;
    if (to_gateways.contains(link->index) || (with_address && *with_address == name))
      found.push_back(*link);
  }
  if (found.empty())
    return fail(Code::kUnavailable, "no Ethernet has " + config_.public_address.to_string() +
                                        " or leads to a gateway; name one as external_interface");
  return found;
}

Result<std::unique_ptr<FastPath>> NetworkImpl::make_fast_path() {
  ICON_TRY(const std::vector<Link> outsides, links_outside());
  FastPath::Config config{config_.public_address, {}, outsides.front().mtu};
  for (const Link& outside : outsides) {
    config.outsides.push_back(outside.index);
    config.mtu_outside = std::min(config.mtu_outside, outside.mtu);
  }
  ICON_TRY(auto path, FastPath::create(config));
  outsides_.insert(config.outsides.begin(), config.outsides.end());
  ICON_CHECK(detach_elsewhere());
  return path;
}

Status NetworkImpl::detach_elsewhere() {
  ICON_TRY(const std::vector<std::string> names, routes_.link_names());
  std::vector<int> elsewhere;
  for (const auto& name : names)
    if (const auto index = routes_.link_index(name);
        index && !is_ours(name) && !outsides_.contains(*index))
      elsewhere.push_back(*index);
  return FastPath::remove(elsewhere);
}

Status NetworkImpl::start_fast_path() {
  if (config_.forwarding == Forwarding::kNftables) {
    why_not_fast_ = "configured";
  } else if (auto made = make_fast_path()) {
    fast_ = std::move(*made);
    log::info("net.forwarding", {{"mode", "bpf"}, {"interfaces", outsides_.size()}});
    return {};
  } else {
    if (config_.forwarding == Forwarding::kBpf) return fail(made.error());
    why_not_fast_ = made.error().message;
  }
  log::info("net.forwarding", {{"mode", "nftables"}, {"why", why_not_fast_}});
  // An earlier supervisor's; its connections become conntrack's with their next packet.
  return remove_fast_path();
}

Status NetworkImpl::remove_fast_path() {
  fast_.reset();
  ICON_TRY(std::vector<std::string> names, routes_.link_names());
  std::vector<int> interfaces;
  for (const auto& name : names)
    if (const auto index = routes_.link_index(name)) interfaces.push_back(*index);
  return FastPath::remove(interfaces);
}

ForwardingState NetworkImpl::forwarding() const {
  return {fast_ != nullptr, why_not_fast_, fast_ ? fast_->forwarded() : 0};
}

void NetworkImpl::note_interface(const std::string& name, const Link& link) {
  const bool veth = name.starts_with("iv");
  const bool ethernet = link.type == ARPHRD_ETHER;
  const std::uint32_t kind = veth ? kIconLinkVeth : ethernet ? kIconLinkEthernet : kIconLinkPlain;
  links_[link.index] = kind;
  if (!fast_) return;
  const auto side = veth                     ? FastPath::Side::kIcon
                    : name.starts_with("ih") ? FastPath::Side::kQueue
                                             : FastPath::Side::kTunnel;
  if (const auto status = fast_->attach(link.index, side, kind); !status)
    log::warn("net.fast_path", {{"interface", name}, {"error", status.error().message}});
}

FastEntries NetworkImpl::fast_wanted(const Icon& icon, const IconRules& rules) const {
  return fast_ ? fast_entries_of(rules, icon.place, marks_for(rules)) : FastEntries{};
}

void NetworkImpl::narrow_fast(Icon& icon, const FastEntries& wanted) {
  if (!fast_) return;
  const FastEntries leaving = without(icon.fast, wanted, /*changed=*/true);
  if (!leaving.empty()) tidy_after(kTidySoon);
  const FastEntries shut = closed(without(leaving, without(leaving, wanted)));
  if (const auto status = fast_->put(shut); !status)
    log::warn("net.fast_path", {{"error", status.error().message}});
  fast_->erase(without(leaving, shut));
}

void NetworkImpl::load_fast(Icon& icon, const FastEntries& wanted) {
  if (!fast_) return;
  fast_->erase(without(icon.fast, wanted));
  icon.fast = wanted;
  if (const auto status = fast_->put(wanted); !status) {
    // Half of it would be wrong: all of this ICON goes by the rules.
    fast_->erase(wanted);
    log::warn("net.fast_path",
              {{"icon", short_id(icon.rules.network.icon_id)}, {"error", status.error().message}});
  }
}

void NetworkImpl::mirror_tunnels(const Elements& removable, const Elements& wanted) {
  if (!fast_) return;
  for (const auto& [id, value] : removable) {
    if (id.first != "tunnel_mark" || wanted.contains(id)) continue;
    const auto known = fast_tunnels_.find(unquoted(id.second));
    if (known == fast_tunnels_.end()) continue;
    fast_->erase(known->second);
    fast_tunnels_.erase(known);
  }
  for (const auto& [id, value] : wanted) {
    if (id.first != "tunnel_mark") continue;
    const auto index = routes_.link_index(unquoted(id.second));
    if (!index) continue;
    FastEntries entries =
        fast_tunnel_entries(*index, links_[*index], static_cast<std::uint32_t>(std::stoul(value)));
    if (const auto status = fast_->put(entries); !status)
      log::warn("net.fast_path",
                {{"interface", unquoted(id.second)}, {"error", status.error().message}});
    fast_tunnels_[unquoted(id.second)] = std::move(entries);
  }
}

void NetworkImpl::prune_fast() {
  if (!fast_) return;
  FastEntries claimed;
  for (const int outside : outsides_) claimed.merge(fast_outside_entries(outside));
  for (const auto& [id, icon] : icons_) claimed.insert(icon.fast.begin(), icon.fast.end());
  for (const auto& [name, entries] : fast_tunnels_) claimed.insert(entries.begin(), entries.end());
  fast_->erase(without(fast_->entries(), claimed));
  std::set<Address> stubs;
  for (const auto& [id, icon] : icons_)
    if (icon.rules.has_stub) stubs.insert(icon.rules.network.overlay);
  fast_->count_only(stubs);
}

void NetworkImpl::count_fast(const IconRules& rules) {
  if (!fast_) return;
  const bool is_stub = rules.has_stub && rules.phase != Phase::kReserved;
  const auto counted = fast_->count(rules.network.overlay, is_stub);
  if (!counted)
    log::warn("net.stub_traffic",
              {{"icon", short_id(rules.network.icon_id)}, {"error", counted.error().message}});
}

}  // namespace icon::net
