// Who needs a tunnel that no rule of the network names yet: a move before its commit, a standby at
// a sibling. Owned by the Host. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <string>

namespace icon::supervisor {

struct Host;

class TunnelUses {
 public:
  // The tunnel stays open while it lives.
  using Use = std::shared_ptr<const void>;

  Use of(const std::string& peer);
  bool any(const std::string& peer) const;

 private:
  std::map<std::string, std::weak_ptr<const void>> uses_;  // by peer
};

// Closes it unless a use, an ICON or a stub needs it.
void close_unused_tunnel(Host& host, const std::string& peer);

}  // namespace icon::supervisor
