#include "lab/topology.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "base/file.h"
#include "lab/yaml_fields.h"

namespace icon::lab {
namespace {

constexpr std::string_view kDnsNode = "dns";
constexpr std::string_view kResolverNode = "resolver";
constexpr std::size_t kLinkNameMax = 2 * kNodeNameMax + 1;

bool is_label(std::string_view text, std::size_t length_max) {
  if (text.empty() || text.size() > length_max || text.front() == '-' || text.back() == '-')
    return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

class TopologyReader {
 public:
  explicit TopologyReader(const YAML::Node& root) : root_(root) {}

  Result<Topology> read() {
    ICON_CHECK(check_keys(
        root_, "",
        {"routers", "hosts", "links", "domains", "providers", "users", "dns", "resolver"}));
    ICON_CHECK(read_nodes("routers", NodeKind::kRouter));
    ICON_CHECK(read_nodes("hosts", NodeKind::kHost));
    if (topology_.nodes.empty()) return bad(root_, "hosts", "the file names no node");
    ICON_CHECK(read_links());
    ICON_CHECK(read_domains());
    ICON_CHECK(add_name_server("dns", kDnsNode, topology_.dns_node));
    ICON_CHECK(add_name_server("resolver", kResolverNode, topology_.resolver_node));
    if (topology_.nodes.size() > kNodesMax)
      return fail(Code::kLimit, "line 1, hosts: " + std::to_string(topology_.nodes.size()) +
                                    " nodes with the name server and the resolver, at most " +
                                    std::to_string(kNodesMax) + " are allowed");
    ICON_CHECK(give_default_domain());
    ICON_CHECK(read_providers());
    ICON_CHECK(read_users());
    ICON_CHECK(check_connected());
    return std::move(topology_);
  }

 private:
  Node* node_named(std::string_view name) {
    for (auto& node : topology_.nodes)
      if (node.name == name) return &node;
    return nullptr;
  }

  Result<std::string> node_at(const YAML::Node& map, const std::string& path, const char* key) {
    ICON_TRY(std::string name, text_at(map, path, key));
    if (!node_named(name)) return bad(map[key], path + "." + key, "no node is named " + name);
    return name;
  }

  Status read_nodes(const char* key, NodeKind kind) {
    ICON_TRY(YAML::Node list, list_at(root_, "", key, kNodesMax));
    for (std::size_t i = 0; i < list.size(); ++i) {
      const YAML::Node item = list[i];
      if (!item.IsScalar() || !is_label(item.Scalar(), kNodeNameMax))
        return bad(item, item_path(key, i),
                   "a node's name is 1 to 24 lower-case letters, digits and hyphens");
      if (node_named(item.Scalar()))
        return bad(item, item_path(key, i), "a second node named " + item.Scalar());
      topology_.nodes.push_back({item.Scalar(), kind, ""});
    }
    return {};
  }

  Status read_links() {
    ICON_TRY(YAML::Node list, list_at(root_, "", "links", kLinksMax));
    for (std::size_t i = 0; i < list.size(); ++i) {
      const YAML::Node item = list[i];
      const std::string path = item_path("links", i);
      ICON_CHECK(check_keys(
          item, path, {"name", "a", "b", "delay_ms", "jitter_ms", "rate_mbit", "loss_percent"}));
      Link link;
      ICON_TRY(link.a, node_at(item, path, "a"));
      ICON_TRY(link.b, node_at(item, path, "b"));
      if (link.a == link.b) return bad(item, path + ".b", "a link from " + link.a + " to itself");
      ICON_TRY(link.name, text_or(item, path, "name", link.a + "-" + link.b));
      if (!is_label(link.name, kLinkNameMax))
        return bad(item, path + ".name", "lower-case letters, digits and hyphens only");
      if (topology_.find_link(link.name))
        return bad(item, path + ".name", "a second link named " + link.name);
      ICON_TRY(link.shape.delay_ms, number_or(item, path, "delay_ms", 0, kDelayMsMax));
      ICON_TRY(link.shape.jitter_ms, number_or(item, path, "jitter_ms", 0, kDelayMsMax));
      ICON_TRY(link.shape.rate_mbit, number_or(item, path, "rate_mbit", 0, kRateMbitMax));
      ICON_TRY(link.shape.loss_percent, number_or(item, path, "loss_percent", 0, 100));
      link.relayed =
          item["delay_ms"] || item["jitter_ms"] || item["rate_mbit"] || item["loss_percent"];
      topology_.links.push_back(std::move(link));
    }
    return {};
  }

  Status read_domains() {
    ICON_TRY(YAML::Node list, list_at(root_, "", "domains", kDomainsMax));
    for (std::size_t i = 0; i < list.size(); ++i) {
      const YAML::Node item = list[i];
      const std::string path = item_path("domains", i);
      ICON_CHECK(check_keys(item, path, {"name", "nodes", "records"}));
      Domain domain;
      ICON_TRY(domain.name, text_at(item, path, "name"));
      const auto dot = domain.name.find('.');
      if (dot == std::string::npos || domain.name.substr(dot) != ".test" ||
          !is_label(domain.name.substr(0, dot), 63))
        return bad(item["name"], path + ".name", "must be <label>.test, like transit.test");
      if (topology_.find_domain(domain.name))
        return bad(item["name"], path + ".name", "a second domain named " + domain.name);
      ICON_CHECK(read_members(item, path, domain.name));
      ICON_CHECK(read_records(item, path, domain));
      topology_.domains.push_back(std::move(domain));
    }
    return {};
  }

  Status read_members(const YAML::Node& item, const std::string& path, const std::string& domain) {
    ICON_TRY(YAML::Node members, list_at(item, path + ".", "nodes", kNodesMax));
    for (std::size_t k = 0; k < members.size(); ++k) {
      const std::string key = item_path(path + ".nodes", k);
      const auto name = members[k].IsScalar() ? members[k].Scalar() : std::string();
      Node* node = node_named(name);
      if (!node) return bad(members[k], key, "no node is named " + name);
      if (!node->domain.empty())
        return bad(members[k], key, name + " is in " + node->domain + " already");
      node->domain = domain;
    }
    return {};
  }

  Status read_records(const YAML::Node& item, const std::string& path, Domain& domain) {
    static const std::set<std::string> types{"A", "AAAA", "CNAME", "MX", "PTR", "SRV", "TXT"};
    ICON_TRY(YAML::Node records, list_at(item, path + ".", "records", kRecordsPerDomainMax));
    for (std::size_t k = 0; k < records.size(); ++k) {
      const std::string key = item_path(path + ".records", k);
      ICON_CHECK(check_keys(records[k], key, {"name", "type", "data"}));
      Record record;
      ICON_TRY(record.name, text_at(records[k], key, "name"));
      ICON_TRY(record.type, text_at(records[k], key, "type"));
      ICON_TRY(record.data, text_at(records[k], key, "data"));
      // A name at the start of a zone file's line must not be read as anything else.
      if (record.name.find_first_of(" \t;()\"$\\") != std::string::npos || record.name.empty())
        return bad(records[k]["name"], key + ".name", "not a DNS name");
      if (!types.contains(record.type))
        return bad(records[k]["type"], key + ".type", "must be A, AAAA, CNAME, MX, PTR, SRV, TXT");
      domain.records.push_back(std::move(record));
    }
    return {};
  }

  // The node under `key`, or a new host on a link to the first router of the first domain.
  Status add_name_server(const char* key, std::string_view default_name, std::string& chosen) {
    if (root_[key]) {
      ICON_TRY(chosen, text_at(root_, "", key));
      const Node* node = node_named(chosen);
      if (!node) return bad(root_[key], key, "no node is named " + chosen);
      if (node->is_router()) return bad(root_[key], key, chosen + " must be a host");
      if (chosen == topology_.dns_node && std::string_view(key) == "resolver")
        return bad(root_[key], key, "the resolver and the name server need a host each");
      return {};
    }
    chosen = default_name;
    if (node_named(chosen))
      return bad(root_, "hosts",
                 "a node is named " + chosen + "; say \"" + key + ": " + chosen +
                     "\" if it is to serve as such, or give it another name");
    const std::string attachment = attachment_point();
    topology_.nodes.push_back({chosen, NodeKind::kHost, ""});
    topology_.links.push_back({chosen + "-" + attachment, attachment, chosen, {}, false});
    if (std::count_if(topology_.links.begin(), topology_.links.end(), [&](const Link& link) {
          return link.name == topology_.links.back().name;
        }) > 1)
      return bad(root_["links"], "links", "the name " + topology_.links.back().name + " is taken");
    return {};
  }

  std::string attachment_point() const {
    for (const auto& domain : topology_.domains)
      for (const auto& node : topology_.nodes)
        if (node.is_router() && node.domain == domain.name) return node.name;
    for (const auto& node : topology_.nodes)
      if (node.is_router()) return node.name;
    return topology_.nodes.front().name;
  }

  Status give_default_domain() {
    bool needed = false;
    for (auto& node : topology_.nodes) {
      if (!node.domain.empty()) continue;
      node.domain = kDefaultDomain;
      needed = true;
    }
    if (needed && !topology_.find_domain(kDefaultDomain))
      topology_.domains.push_back({std::string(kDefaultDomain), {}});
    if (topology_.domains.size() > kDomainsMax)
      return fail(Code::kLimit, "line 1, domains: at most " + std::to_string(kDomainsMax) +
                                    " with " + std::string(kDefaultDomain));
    return {};
  }

  Status read_providers() {
    ICON_TRY(YAML::Node list, list_at(root_, "", "providers", kProvidersMax));
    for (std::size_t i = 0; i < list.size(); ++i) {
      const YAML::Node item = list[i];
      const std::string path = item_path("providers", i);
      ICON_CHECK(check_keys(item, path,
                            {"node", "domain", "priority", "weight", "port", "id", "location"}));
      Provider provider;
      ICON_TRY(provider.node, node_at(item, path, "node"));
      ICON_TRY(provider.domain, text_or(item, path, "domain", node_named(provider.node)->domain));
      if (!topology_.find_domain(provider.domain))
        return bad(item["domain"], path + ".domain", "no domain is named " + provider.domain);
      ICON_TRY(provider.priority, int_or(item, path, "priority", provider.priority, 0, 65535));
      ICON_TRY(provider.weight, int_or(item, path, "weight", provider.weight, 0, 65535));
      ICON_TRY(provider.port, int_or(item, path, "port", provider.port, 1, 65535));
      ICON_TRY(provider.id, text_or(item, path, "id", "@" + provider.node));
      ICON_TRY(provider.location, text_or(item, path, "location", ""));
      ICON_CHECK(check_provider_texts(item, path, provider));
      topology_.providers.push_back(std::move(provider));
    }
    return {};
  }

  Status check_provider_texts(const YAML::Node& item, const std::string& path,
                              const Provider& provider) {
    if (provider.id.starts_with('@')) {
      const Node* node = node_named(std::string_view(provider.id).substr(1));
      if (!node || node->is_router())
        return bad(item["id"], path + ".id", "no host is named " + provider.id.substr(1));
    } else if (!is_label(provider.id, 63)) {
      return bad(item["id"], path + ".id", "must be an id or @node");
    }
    if (provider.location.find_first_of(" \"\\;") != std::string::npos ||
        provider.location.size() > 64)
      return bad(item["location"], path + ".location", "at most 64 characters without blanks");
    return {};
  }

  Status read_users() {
    ICON_TRY(YAML::Node list, list_at(root_, "", "users", kNodesMax));
    std::map<std::string, std::size_t> groups;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const YAML::Node item = list[i];
      const std::string path = item_path("users", i);
      ICON_CHECK(check_keys(item, path, {"node", "count"}));
      UserGroup group;
      ICON_TRY(group.node, node_at(item, path, "node"));
      ICON_TRY(group.count, int_or(item, path, "count", 1, 1, kUsersPerGroupMax));
      const bool repeated = std::any_of(topology_.users.begin(), topology_.users.end(),
                                        [&](const UserGroup& g) { return g.node == group.node; });
      if (repeated) return bad(item["node"], path + ".node", group.node + " has users already");
      if (++groups[node_named(group.node)->domain] > kUserGroupsPerDomainMax)
        return bad(item, path, "too many groups in " + node_named(group.node)->domain);
      topology_.users.push_back(std::move(group));
    }
    return {};
  }

  Status check_connected() const {
    std::set<std::string> seen{topology_.nodes.front().name};
    std::deque<std::string> queue(seen.begin(), seen.end());
    while (!queue.empty()) {
      const std::string at = queue.front();
      queue.pop_front();
      for (const auto& link : topology_.links) {
        if (link.a != at && link.b != at) continue;
        const auto& other = link.a == at ? link.b : link.a;
        if (seen.insert(other).second) queue.push_back(other);
      }
    }
    for (const auto& node : topology_.nodes)
      if (!seen.contains(node.name))
        return bad(root_["links"] ? root_["links"] : root_, "links",
                   "no path from " + topology_.nodes.front().name + " to " + node.name);
    return {};
  }

  YAML::Node root_;
  Topology topology_;
};

}  // namespace

const Node* Topology::find_node(std::string_view name) const {
  for (const auto& node : nodes)
    if (node.name == name) return &node;
  return nullptr;
}

const Link* Topology::find_link(std::string_view name) const {
  for (const auto& link : links)
    if (link.name == name) return &link;
  return nullptr;
}

const Domain* Topology::find_domain(std::string_view name) const {
  for (const auto& domain : domains)
    if (domain.name == name) return &domain;
  return nullptr;
}

Result<Topology> parse_topology(const std::string& yaml_text) {
  if (yaml_text.size() > kTopologyBytesMax)
    return fail(Code::kLimit,
                "a topology has at most " + std::to_string(kTopologyBytesMax) + " bytes");
  try {
    return TopologyReader(YAML::Load(yaml_text)).read();
  } catch (const YAML::Exception& error) {
    return fail(Code::kInvalid, "line " + std::to_string(error.mark.line + 1) + ": " + error.msg);
  }
}

Result<Topology> load_topology(const std::string& path) {
  ICON_TRY(std::string text, read_file(path, kTopologyBytesMax));
  auto topology = parse_topology(text);
  if (!topology) return fail(topology.error().code, path + ", " + topology.error().message);
  return topology;
}

Status check_lab_name(std::string_view name) {
  const bool fine =
      !name.empty() && name.size() <= 12 && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
      });
  if (fine) return {};
  return fail(Code::kInvalid, "lab name \"" + std::string(name) +
                                  "\": must be 1 to 12 lower-case letters and digits");
}

}  // namespace icon::lab
