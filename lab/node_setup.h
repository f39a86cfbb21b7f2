// What `ip -batch` and /proc/sys are told to turn a plan into namespaces. Pure text.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "lab/plan.h"

namespace icon::lab {

// icon-<lab>-<node>
std::string netns_name(const std::string& lab, const std::string& node);

// Run once, outside: all namespaces, and the veth pairs of plain links.
std::string creation_batch(const std::string& lab, const Topology& topology, const Plan& plan);
// Run inside a node's namespace, once its interfaces are there.
std::string node_batch(const Topology& topology, const NodePlan& node);

struct KernelSetting {
  std::string path;
  std::string value;
  bool required = false;  // else a kernel without it is fine
};
// Must be written from inside the node's namespace. A router forwards and filters nothing; a host
// is as Debian would have it, and forwards only if its supervisor turns that on. ICMP errors come
// from the interface that the packet arrived on and are not rationed: traceroute sees what is
// there.
std::vector<KernelSetting> node_settings(bool router);

}  // namespace icon::lab
