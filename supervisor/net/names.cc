#include "supervisor/net/names.h"

#include "base/keys.h"

namespace icon::net {
namespace {

std::string prefixed(std::string_view prefix, std::string_view id) {
  return std::string(prefix) + short_id(id);
}

}  // namespace

std::string veth_name(std::string_view icon_id) { return prefixed("iv", icon_id); }
std::string hold_name(std::string_view icon_id) { return prefixed("ih", icon_id); }
std::string tunnel_name(std::string_view peer_id) { return prefixed("it", peer_id); }

std::string netns_name_of(std::string_view supervisor_id, std::string_view icon_id) {
  return "icon-" + short_id(supervisor_id) + "-" + short_id(icon_id);
}

Status check_id(std::string_view id) {
  const auto key = PublicKey::from_id(id);
  if (!key) return fail(key.error());
  return {};
}

}  // namespace icon::net
