#include "lab/plan.h"

#include <fmt/format.h>

#include <deque>
#include <map>

#include "base/assert.h"

namespace icon::lab {
namespace {

constexpr std::uint32_t kBase = 11u << 24;
constexpr std::size_t kUnreached = static_cast<std::size_t>(-1);

std::uint32_t block_of(std::size_t domain) {
  return kBase | static_cast<std::uint32_t>(domain + 1) << 16;
}

std::string mac_of(std::size_t link, int end) {
  return fmt::format("02:1a:{:02x}:{:02x}:00:{:02x}", link >> 8 & 0xff, link & 0xff, end + 1);
}

struct Edge {
  std::size_t peer = 0;       // node
  std::size_t interface = 0;  // of this node
};

class Planner {
 public:
  explicit Planner(const Topology& topology) : topology_(topology) {}

  Result<Plan> make() {
    number_nodes();
    give_users();
    ICON_CHECK(give_links());
    for (std::size_t node = 0; node < plan_.nodes.size(); ++node) give_routes(node);
    return std::move(plan_);
  }

 private:
  void number_nodes() {
    for (std::size_t i = 0; i < topology_.domains.size(); ++i) {
      domain_index_[topology_.domains[i].name] = i;
      plan_.domain_prefixes.push_back(Prefix::of(Address::v4(block_of(i)), 16));
    }
    std::map<std::string, std::uint32_t> members;
    for (const auto& node : topology_.nodes) {
      node_index_[node.name] = plan_.nodes.size();
      NodePlan plan;
      plan.name = node.name;
      plan.domain = node.domain;
      plan.router = node.is_router();
      plan.loopback = Address::v4(block_of(domain_index_.at(node.domain)) + ++members[node.domain]);
      plan_.nodes.push_back(std::move(plan));
    }
    edges_.resize(plan_.nodes.size());
  }

  void give_users() {
    std::map<std::string, std::uint32_t> groups;
    for (const auto& group : topology_.users) {
      auto& node = plan_.nodes[node_index_.at(group.node)];
      const std::uint32_t block =
          block_of(domain_index_.at(node.domain)) + ((128 + groups[node.domain]++) << 8);
      for (int user = 1; user <= group.count; ++user)
        node.users.push_back(Address::v4(block + static_cast<std::uint32_t>(user)));
    }
  }

  Status give_links() {
    std::map<std::string, std::uint32_t> used;
    for (std::size_t i = 0; i < topology_.links.size(); ++i) {
      const auto& link = topology_.links[i];
      const std::size_t a = node_index_.at(link.a);
      const std::size_t b = node_index_.at(link.b);
      const std::string& domain = plan_.nodes[a].domain;
      const std::uint32_t number = used[domain]++;
      static_assert(kLinksMax < std::size_t{63} * 128, "a domain's links fit below its users");
      const std::uint32_t first = block_of(domain_index_.at(domain)) + 0x100 + 2 * number;
      add_interface(a, b, i, 0, first, first + 1);
      add_interface(b, a, i, 1, first + 1, first);
    }
    return {};
  }

  void add_interface(std::size_t node, std::size_t peer, std::size_t link, int end,
                     std::uint32_t address, std::uint32_t peer_address) {
    auto& plan = plan_.nodes[node];
    edges_[node].push_back({peer, plan.interfaces.size()});
    plan.interfaces.push_back({fmt::format("e{}", plan.interfaces.size()), mac_of(link, end),
                               Address::v4(address), Address::v4(peer_address),
                               mac_of(link, 1 - end), link});
  }

  // Breadth first: for each node the edge of `source` on a shortest path to it. Edges are taken in
  // the file's order, so that a tie always goes the same way.
  std::vector<std::size_t> first_edges(std::size_t source) const {
    std::vector<std::size_t> first(plan_.nodes.size(), kUnreached);
    std::vector<bool> seen(plan_.nodes.size(), false);
    seen[source] = true;
    std::deque<std::size_t> queue{source};
    while (!queue.empty()) {
      const std::size_t at = queue.front();
      queue.pop_front();
      for (std::size_t e = 0; e < edges_[at].size(); ++e) {
        const std::size_t next = edges_[at][e].peer;
        if (seen[next]) continue;
        seen[next] = true;
        first[next] = at == source ? e : first[at];
        queue.push_back(next);
      }
    }
    return first;
  }

  void give_routes(std::size_t source) {
    auto& node = plan_.nodes[source];
    const auto route_by = [&](std::size_t edge, const Prefix& destination) {
      const auto& interface = node.interfaces[edges_[source][edge].interface];
      node.routes.push_back({destination, interface.peer_address, interface.name});
    };
    if (edges_[source].size() == 1) {
      route_by(0, Prefix::of(Address(), 0));
      return;
    }
    const auto first = first_edges(source);
    for (std::size_t other = 0; other < plan_.nodes.size(); ++other) {
      if (other == source || first[other] == kUnreached) continue;
      const auto& target = plan_.nodes[other];
      route_by(first[other], Prefix::of(target.loopback, 32));
      if (!target.users.empty()) route_by(first[other], Prefix::of(target.users.front(), 24));
    }
    for (std::size_t i = 0; i < topology_.links.size(); ++i) {
      const std::size_t a = node_index_.at(topology_.links[i].a);
      const std::size_t b = node_index_.at(topology_.links[i].b);
      if (a == source || b == source || first[a] == kUnreached) continue;
      route_by(first[a], Prefix::of(address_on(a, i), 31));
    }
  }

  Address address_on(std::size_t node, std::size_t link) const {
    for (const auto& interface : plan_.nodes[node].interfaces)
      if (interface.link == link) return interface.address;
    ICON_ASSERT(false);
    return {};
  }

  const Topology& topology_;
  Plan plan_;
  std::map<std::string, std::size_t> domain_index_;
  std::map<std::string, std::size_t> node_index_;
  std::vector<std::vector<Edge>> edges_;
};

}  // namespace

const NodePlan* Plan::find(std::string_view node) const {
  for (const auto& plan : nodes)
    if (plan.name == node) return &plan;
  return nullptr;
}

Result<Plan> make_plan(const Topology& topology) { return Planner(topology).make(); }

}  // namespace icon::lab
