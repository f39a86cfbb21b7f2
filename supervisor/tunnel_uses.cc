#include "supervisor/tunnel_uses.h"

#include "base/log.h"
#include "supervisor/host.h"

namespace icon::supervisor {

TunnelUses::Use TunnelUses::of(const std::string& peer) {
  std::erase_if(uses_, [](const auto& entry) { return entry.second.expired(); });
  auto& known = uses_[peer];
  auto use = known.lock();
  if (!use) known = use = std::make_shared<char>();
  return use;
}

bool TunnelUses::any(const std::string& peer) const {
  const auto found = uses_.find(peer);
  return found != uses_.end() && !found->second.expired();
}

void close_unused_tunnel(Host& host, const std::string& peer) {
  if (host.tunnel_uses.any(peer)) return;
  // An error is no fault: the network knows who needs it.
  if (!host.network->close_tunnel(peer)) return;
  if (const auto removed = host.journal->remove_tunnel(peer); !removed)
    log::warn("tunnel.not_forgotten", {{"peer", peer}, {"error", removed.error().message}});
}

}  // namespace icon::supervisor
