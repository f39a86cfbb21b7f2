// Paths below a lab's directory, and its state file.
//   topology.yaml  the file as it was given       state.json    services, by pid and start time
//   relay.json, relay.sock                        cut/<link>    plain links that are down
//   dns/  zones, configuration and logs of the name server and the resolver
//   etc/resolv.conf  for the nodes                hosts/<node>/ for supervisors: key, config, state
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "lab/remains.h"

namespace icon::lab {

// There when a lab made /run/netns: the last one to go removes it.
inline std::string made_netns_marker() { return std::string(kLabsDirectory) + "/.made-netns"; }

struct LabFiles {
  explicit LabFiles(const std::string& lab) : directory(std::string(kLabsDirectory) + "/" + lab) {}

  std::string directory;
  std::string topology() const { return directory + "/topology.yaml"; }
  std::string state() const { return directory + "/state.json"; }
  std::string relay_start() const { return directory + "/relay.json"; }
  std::string relay_socket() const { return directory + "/relay.sock"; }
  std::string dns() const { return directory + "/dns"; }
  std::string resolv_conf() const { return directory + "/etc/resolv.conf"; }
  std::string host(const std::string& node) const { return directory + "/hosts/" + node; }
  std::string key(const std::string& node) const { return host(node) + "/supervisor.key"; }
  std::string cut_links() const { return directory + "/cut"; }
  std::string cut(const std::string& link) const { return cut_links() + "/" + link; }
};

inline constexpr std::size_t kStateBytesMax = std::size_t{64} * 1024;

struct LabState {
  std::string name;
  UtcMillis started_ms = 0;
  bool bound_to_caller = false;
  std::vector<ProcessIdentity> services;

  std::string to_text() const;
  static Result<LabState> from_text(std::string_view text);
};

}  // namespace icon::lab
