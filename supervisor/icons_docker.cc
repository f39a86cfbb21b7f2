// ICONs that begin with `docker run`: Docker's shim asks before it makes the container, and says
// when it has.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/log.h"
#include "supervisor/docker/docker_containers.h"
#include "supervisor/host.h"

namespace icon::supervisor {
namespace {

// From Docker's question to its container.
constexpr Millis kMadeLimit{60'000};

}  // namespace

Task<Result<IconRecord>> Icons::prepare_for_docker(RunRequest request, std::string container) {
  const KeyPair key = KeyPair::generate();
  ICON_CO_TRY(const auto icon, begin(request, key));
  const auto prepare = [&]() -> Status {
    ICON_CHECK(put_together(icon, key, request));
    const std::string netns = host_.network->netns_path(icon.id);
    ICON_TRY(const auto order, host_.containers->docker_order(icon.id, icon.spec, netns));
    return host_.containers->docker().leave_order(order, container);
  };
  const auto prepared = prepare();
  if (!prepared) {
    co_await forget_half_made(icon.id);
    co_return fail(prepared.error());
  }
  boost::asio::co_spawn(host_.loop, give_up_unless_made(icon.id), boost::asio::detached);
  co_return icon;
}

Task<void> Icons::give_up_unless_made(std::string icon_id) {
  boost::asio::steady_timer limit(host_.loop, kMadeLimit);
  co_await limit.async_wait(boost::asio::use_awaitable);
  const auto icon = host_.journal->find_icon(icon_id);
  if (!icon || !*icon || (*icon)->state != icon_state::kStarting) co_return;
  log::warn("icon.not_started", {{"icon", icon_id}, {"error", "Docker made no container"}});
  co_await forget_half_made(icon_id);
}

Status Icons::made_by_docker(const std::string& icon_id, int pid) {
  ICON_TRY(auto icon, host_.journal->find_icon(icon_id));
  if (!icon) return fail(Code::kNotFound, "no ICON " + icon_id);
  if (icon->state != icon_state::kStarting)
    return fail(Code::kConflict, "ICON " + icon->name + " is " + icon->state);
  ICON_CHECK(host_.containers->note_running(icon_id, pid));
  const auto process = host_.containers->running(icon_id);
  if (!process) return fail(Code::kNotFound, "process " + std::to_string(pid) + " has ended");
  return note_running(*icon, *process);
}

}  // namespace icon::supervisor
