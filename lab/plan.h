// Addresses, interfaces and routes of a topology. Deterministic: the same file always gives the
// same lab. Pure.
//
// Domain number i (from 1, in the file's order) owns 11.i.0.0/16. They look public on purpose,
// because discovery skips private hops; nothing of it leaves the namespaces.
//   11.i.0.n    loopback of the domain's n-th node
//   11.i.1.0..  a /31 for each link whose end `a` is in the domain
//   11.i.128+k  .1, .2, .. : the users of the domain's k-th group, on the loopback of their node
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "lab/topology.h"

namespace icon::lab {

struct Interface {
  std::string name;  // e0, e1, ..
  std::string mac;
  Address address;
  Address peer_address;
  std::string peer_mac;
  std::size_t link = 0;  // index into Topology::links
};

struct Route {
  Prefix destination;
  Address via;
  std::string interface;
};

struct NodePlan {
  std::string name;
  std::string domain;
  bool router = false;
  Address loopback;  // the node's address: A of <node>.<domain>, source of what it sends
  std::vector<Interface> interfaces;
  std::vector<Address> users;
  std::vector<Route> routes;  // shortest paths by hops; one default route where there is one link
};

struct Plan {
  std::vector<NodePlan> nodes;          // in the order of Topology::nodes
  std::vector<Prefix> domain_prefixes;  // in the order of Topology::domains

  const NodePlan* find(std::string_view node) const;
};

// Errors: kLimit when a domain's block is too small.
Result<Plan> make_plan(const Topology& topology);

}  // namespace icon::lab
