#include "supervisor/forgetting.h"

#include <algorithm>
#include <filesystem>

#include "base/log.h"
#include "supervisor/host.h"
#include "supervisor/move_parts.h"

namespace icon::supervisor {
namespace {

// Before the moves could remove them with their ICON, or while they could not.
Status forget_stub_hosts(Host& host) {
  ICON_TRY(const auto noted, host.journal->values(kStubHostsPrefix));
  for (const auto& [key, value] : noted) {
    const auto icon_id = key.substr(kStubHostsPrefix.size());
    ICON_TRY(const auto icon, host.journal->find_icon(icon_id));
    if (!icon) ICON_CHECK(forget_earlier_stubs(host, icon_id));
  }
  return {};
}

}  // namespace

Result<bool> forget_past(Host& host) {
  ICON_CHECK(forget_moved(host));
  ICON_CHECK(forget_stub_hosts(host));
  ICON_CHECK(host.market->forget_sales());
  const auto before_ms = host.clock.utc_ms() - kPastKept.count();
  ICON_TRY(const auto gone, host.journal->forget_past(before_ms, kForgottenAtOnce));
  if (gone.migrations + gone.decisions > 0)
    log::info("journal.forgotten",
              {{"migrations", gone.migrations}, {"decisions", gone.decisions}});
  return gone.migrations == kForgottenAtOnce || gone.decisions == kForgottenAtOnce;
}

Status forget_moved(Host& host) {
  ICON_TRY(const auto icons, host.journal->icons());
  ICON_TRY(const auto moves, host.journal->unfinished_migrations());
  for (const auto& icon : icons) {
    if (icon.state != icon_state::kMoved) continue;
    ICON_TRY(const auto stub, host.journal->find_stub(icon.id));
    // A move that is not settled yet needs the row, and so does what could not be removed.
    const bool is_settling = std::any_of(moves.begin(), moves.end(),
                                         [&](const auto& move) { return move.icon == icon.id; });
    std::error_code error;
    const bool is_here = std::filesystem::exists(host.containers->paths(icon.id).directory, error);
    if (stub || is_settling || is_here) continue;
    ICON_CHECK(host.icons->forget(icon.id));
    log::info("icon.forgotten", {{"icon", icon.id}, {"name", icon.name}});
  }
  return {};
}

}  // namespace icon::supervisor
