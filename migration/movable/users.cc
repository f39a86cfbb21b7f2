#include "migration/movable/users.h"

#include <fmt/format.h>

#include <algorithm>

namespace icon::migration {

std::optional<Obstacle> user_obstacle(const ProcessTree& tree, const Process& process,
                                      const Provisions& provisions) {
  Obstacle found;
  const auto own = process.namespaces.find("user");
  const auto host = tree.host.find("user");
  // The restored tree gets a new user namespace, and TCP_REPAIR wants rights over the network
  // namespace, which is older (docs/decisions/0006).
  if (process.pid == tree.root && own != process.namespaces.end() && host != tree.host.end() &&
      own->second != host->second) {
    found.kind = "namespace";
    found.what = "has a user namespace of its own, in which CRIU cannot restore TCP sockets";
    found.fix = "Run it without one (userns-remap, --userns): an ICON's users need not be root";
    return found;
  }
  const auto other = std::find_if(process.ids.begin(), process.ids.end(),
                                  [](std::uint32_t id) { return id != 0; });
  if (provisions.carries_other_users || other == process.ids.end()) return std::nullopt;
  found.kind = "user";
  found.what = fmt::format(
      "runs as user or group {}: this host lacks CAP_SYS_RESOURCE, without which its CRIU cannot "
      "read the limits of other users' processes",
      *other);
  found.fix =
      "`make deps` builds a CRIU that can; or give the supervisor CAP_SYS_RESOURCE, or run the "
      "service as root";
  return found;
}

}  // namespace icon::migration
