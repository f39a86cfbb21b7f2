// ICONs that run before all of their memory is in place.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "supervisor/host.h"
#include "supervisor/icons.h"

namespace icon::supervisor {

void Icons::memory_arrives(const std::string& icon_id) { arriving_[icon_id] = std::nullopt; }

void Icons::memory_arrived(const std::string& icon_id, const Status& outcome) {
  const auto arriving = arriving_.extract(icon_id);
  if (!arriving) return;
  if (outcome) {
    if (const auto& end = arriving.mapped()) ended(icon_id, end->exit_status);
    return;
  }
  const auto icon = host_.journal->find_icon(icon_id);
  // While it moves on the flow decides.
  if (!icon || !*icon || (*icon)->state != icon_state::kRunning) return;
  boost::asio::co_spawn(
      host_.loop,
      stop_and_settle(icon_id, Millis(0), "its memory was lost: " + outcome.error().message),
      boost::asio::detached);
}

}  // namespace icon::supervisor
