// What a lab is made of, as a YAML file says it: routers, hosts, links, domains, providers, users.
// Pure: text in, values out. Addresses and routes follow in plan.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace icon::lab {

inline constexpr std::size_t kTopologyBytesMax = 1 << 20;
inline constexpr std::size_t kNodesMax = 250;  // the name server and the resolver included
inline constexpr std::size_t kLinksMax = 1000;
inline constexpr std::size_t kDomainsMax = 200;
inline constexpr std::size_t kRecordsPerDomainMax = 200;
inline constexpr std::size_t kProvidersMax = 250;
inline constexpr std::size_t kUserGroupsPerDomainMax = 120;
inline constexpr int kUsersPerGroupMax = 250;
inline constexpr std::size_t kNodeNameMax = 24;
inline constexpr double kDelayMsMax = 10'000;
inline constexpr double kRateMbitMax = 100'000;
// The domain of nodes that the file puts into none.
inline constexpr std::string_view kDefaultDomain = "lab.test";

enum class NodeKind { kRouter, kHost };

struct Node {
  std::string name;  // [a-z0-9-], also a DNS label
  NodeKind kind = NodeKind::kHost;
  std::string domain;
  bool is_router() const { return kind == NodeKind::kRouter; }
};

// What a link does to packets, each way. Zero: nothing.
struct Shape {
  double delay_ms = 0;      // one way
  double jitter_ms = 0;     // at most this much more or less; packets stay in order
  double rate_mbit = 0;     // 0: unlimited
  double loss_percent = 0;  // of packets, independently
  bool operator==(const Shape&) const = default;
};

struct Link {
  std::string name;  // "a-b" unless the file says another
  std::string a;
  std::string b;
  Shape shape;
  // A relay process carries it: the file gave at least one of the shape's keys. The others are
  // plain veth pairs, as fast as the kernel, and have no shape to change.
  bool relayed = false;
};

struct Record {
  std::string name;  // relative to the domain, or "@"
  std::string type;  // A, AAAA, CNAME, MX, PTR, SRV, TXT
  std::string data;  // as in a zone file
};

struct Domain {
  std::string name;  // "<label>.test"
  std::vector<Record> records;
};

// `_icon._tcp.<domain>` SRV and TXT.
struct Provider {
  std::string node;
  std::string domain;
  int priority = 10;
  int weight = 10;
  int port = 7946;
  std::string id;        // "@node": the id of that node's supervisor; else used as it is
  std::string location;  // loc=.. of the TXT; may be empty
};

struct UserGroup {
  std::string node;
  int count = 1;
};

struct Topology {
  std::vector<Node> nodes;  // routers and hosts in the file's order, then `dns` and `resolver`
  std::vector<Link> links;
  std::vector<Domain> domains;
  std::vector<Provider> providers;
  std::vector<UserGroup> users;
  std::string dns_node;       // serves every zone
  std::string resolver_node;  // everybody's recursive resolver

  const Node* find_node(std::string_view name) const;
  const Link* find_link(std::string_view name) const;
  const Domain* find_domain(std::string_view name) const;
};

// Adds what the file may leave out: the name server and the resolver, each on a link of its own to
// the first router of the first domain, and the default domain. Errors: kInvalid with line and key
// for an unknown key, a name that dangles or repeats, a value out of range, a node without a path
// to the others; kLimit for too many of anything.
Result<Topology> parse_topology(const std::string& yaml_text);
Result<Topology> load_topology(const std::string& path);

// A lab's name: it becomes part of namespace names. Errors: kInvalid unless 1 to 12 of [a-z0-9].
Status check_lab_name(std::string_view name);

}  // namespace icon::lab
