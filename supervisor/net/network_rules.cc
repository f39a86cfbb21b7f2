// An ICON's rules in the kernel: from what is wanted to one transaction, and back again when
// somebody else has changed the table.
#include "base/keys.h"
#include "base/log.h"
#include "supervisor/net/network_impl.h"

namespace icon::net {

Status NetworkImpl::reload_elements() {
  Elements all;
  for (const char* table : {"table ip icon", "table ip6 icon"}) {
    ICON_TRY(std::string text, nft_.list_json(table));
    ICON_TRY(Elements elements, parse_elements(text));
    all.merge(elements);
  }
  current_ = std::move(all);
  index_unclaimed();
  return {};
}

void NetworkImpl::index_unclaimed() {
  unclaimed_.clear();
  for (const auto& element : current_)
    if (!owners_.contains(element.first))
      for (auto& part : parts_of(element)) unclaimed_.emplace(std::move(part), element.first);
}

void NetworkImpl::add_unclaimed(const IconRules& rules, Elements& elements) const {
  for (const auto& part : parts_of(rules)) {
    const auto [begin, end] = unclaimed_.equal_range(part);
    for (auto entry = begin; entry != end; ++entry)
      if (const auto present = current_.find(entry->second); present != current_.end())
        elements.insert(*present);
  }
}

std::map<std::string, std::uint32_t> NetworkImpl::marks_for(const IconRules& rules) const {
  std::map<std::string, std::uint32_t> marks;
  const auto add = [&](const std::string& peer) {
    if (const auto tunnel = tunnels_.find(peer); tunnel != tunnels_.end())
      marks[peer] = tunnel->second.mark;
  };
  for (const auto& peer : rules.network.stub_hosts) add(peer);
  for (const auto& peer : rules.earlier_stub_peers) add(peer);
  add(rules.network.previous_host);
  add(rules.next_host);
  add(rules.stub.peer_id);
  return marks;
}

Status NetworkImpl::check_conflicts(const std::string& icon_id, const Elements& wanted) const {
  for (const auto& [element, value] : wanted)
    if (const auto owner = owners_.find(element);
        owner != owners_.end() && owner->second != icon_id)
      return fail(Code::kConflict, element.first + " " + element.second + " belongs to ICON " +
                                       short_id(owner->second) + " on this host");
  return {};
}

void NetworkImpl::claim(Icon& icon, IconRules rules, const Elements& wanted) {
  for (const auto& [element, value] : icon.elements)
    if (!wanted.contains(element)) owners_.erase(element);
  for (const auto& [element, value] : wanted) owners_[element] = rules.network.icon_id;
  for (const auto& part : parts_of(rules)) unclaimed_.erase(part);
  icon.rules = std::move(rules);
  icon.elements = wanted;
}

Status NetworkImpl::run_change(const Elements& removable, const Elements& wanted) {
  for (int attempt = 0;; ++attempt) {
    const std::string script = change_script(current_, removable, wanted);
    if (script.empty()) break;
    auto status = nft_.run(script);
    if (status) break;
    // Somebody else changed the table: look again, once.
    if (attempt > 0) return status;
    ICON_CHECK(look_again());
  }
  for (const auto& [id, value] : removable)
    if (!wanted.contains(id)) current_.erase(id);
  for (const auto& [id, value] : wanted) current_[id] = value;
  mirror_tunnels(removable, wanted);
  return route_tunnels6(wanted);
}

// The tunnel's table routes IPv6 as well.
Status NetworkImpl::route_tunnels6(const Elements& wanted) {
  std::vector<Route> routes;
  for (const auto& [id, mark] : wanted) {
    if (id.first != "6/tunnel_mark" || !ipv6_) continue;
    const auto index = routes_.link_index(id.second.substr(1, id.second.size() - 2));
    if (!index) continue;
    routes.push_back({.destination = Prefix::of(Address::v6({}), 0),
                      .interface = *index,
                      .table = static_cast<std::uint32_t>(std::stoul(mark))});
  }
  return routes_.replace_routes(routes);
}

Status NetworkImpl::look_again() {
  auto reloaded = reload_elements();
  if (reloaded || reloaded.error().code != Code::kNotFound) return reloaded;
  // A firewall's restart ("flush ruleset") took the table away.
  log::warn("net.table_lost", {});
  return restore_table();
}

void NetworkImpl::heal() {
  const auto chain = nft_.list_json("chain ip icon nat_in");
  const auto chain6 = nft_.list_json("chain ip6 icon nat_in");
  Status status;
  if (!chain || !chain6) {
    status = look_again();
  } else if (chain->find("\"rule\"") == std::string::npos ||
             chain6->find("\"rule\"") == std::string::npos) {
    log::warn("net.rules_lost", {});
    status = restore_table();
  }
  if (!status) log::warn("net.heal", {{"error", status.error().message}});
}

Status NetworkImpl::restore_table() {
  ICON_CHECK(nft_.run(table_script(public_addresses(), config_.external_interface)));
  ICON_CHECK(reload_elements());
  Elements everything;
  for (const auto& [id, icon] : icons_)
    everything.insert(icon.elements.begin(), icon.elements.end());
  for (const auto& [peer, tunnel] : tunnels_) everything.merge(tunnel_elements(peer, tunnel.mark));
  ICON_CHECK(nft_.run(change_script(current_, {}, everything)));
  for (auto& [id, value] : everything) current_[id] = value;
  return {};
}

Status NetworkImpl::transition(Icon& icon, const std::function<void(IconRules&)>& change) {
  IconRules next = icon.rules;
  change(next);
  const Elements wanted = elements_of(next, public_addresses(), marks_for(next));
  ICON_CHECK(check_conflicts(next.network.icon_id, wanted));
  Elements removable = icon.elements;
  add_unclaimed(next, removable);
  const FastEntries fast = fast_wanted(icon, next);
  narrow_fast(icon, fast);
  if (auto status = run_change(removable, wanted); !status) {
    load_fast(icon, fast_wanted(icon, icon.rules));
    return status;
  }
  claim(icon, std::move(next), wanted);
  count_fast(icon.rules);
  load_fast(icon, fast);
  return {};
}

}  // namespace icon::net
