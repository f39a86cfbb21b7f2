#include "supervisor/daemon.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/file.h"
#include "base/log.h"
#include "base/orphans.h"
#include "base/tls.h"
#include "supervisor/api.h"
#include "supervisor/docker/docker_containers.h"
#include "supervisor/forgetting.h"

namespace icon::supervisor {
namespace {

namespace asio = boost::asio;
constexpr Millis kLookAfterEvery{1'000};
// What is seldom, once in so many.
constexpr std::uint64_t kTidyTurns = 60;
constexpr std::uint64_t kForgetTurns = 3'600;
constexpr Millis kStopGrace{5'000};
constexpr unsigned kHostSocketMode = 0600;

http::Limits peer_limits(const Config& config) {
  http::Limits limits;
  limits.body_bytes_max = 2 << 20;  // a RESERVE with order, lease and spec; bulk is streamed
  limits.upload_idle = Millis(config.silence_max_ms);
  return limits;
}

}  // namespace

Result<std::unique_ptr<Daemon>> Daemon::create(IoContext& loop, Clock& clock, Config config) {
  ICON_TRY(auto host, Host::create(loop, clock, std::move(config)));
  std::unique_ptr<Daemon> daemon(new Daemon(std::move(host)));
  Host& parts = *daemon->host_;
  ICON_TRY(daemon->tls_, tls::server_context(parts.key));
  parts.mover = make_mover(parts);
  add_icon_routes(daemon->icon_router_, parts);
  add_host_routes(daemon->host_router_, parts);
  add_peer_routes(daemon->peer_router_, parts);
  add_kin_routes(daemon->icon_router_, parts);
  add_kin_peer_routes(daemon->peer_router_, parts);
  parts.mover->add_peer_routes(daemon->peer_router_);
  parts.icons->set_icon_router(daemon->icon_router_);
  return daemon;
}

Daemon::~Daemon() = default;

Task<Status> Daemon::start() {
  co_await host_->icons->adopt_all();
  co_await host_->mover->recover();
  const Config& config = host_->config;
  ICON_CO_CHECK(make_directories(config.socket.substr(0, config.socket.rfind('/')), 0755));
  ICON_CO_TRY(peer_server_, http::serve_tls(host_->loop, config.listen, *tls_, peer_router_,
                                            peer_limits(config)));
  ICON_CO_TRY(host_server_, http::serve_unix(host_->loop, config.socket, kHostSocketMode, "",
                                             host_router_, http::Limits{}));
  log::info("supervisor.ready", {{"id", host_->id},
                                 {"provider", config.provider_name},
                                 {"listen", peer_server_->local_endpoint().to_string()},
                                 {"socket", config.socket}});
  co_return Status{};
}

Endpoint Daemon::api_endpoint() const {
  return peer_server_ ? peer_server_->local_endpoint() : Endpoint{};
}

void Daemon::tidy(std::uint64_t turn) {
  if (turn % kTidyTurns == 0)
    tidying_.begin(host_->loop, host_->containers->docker().remove_left_over());
  if (turn < forget_at_) return;
  const auto more = forget_past(*host_);
  if (!more) log::error("journal.not_tidied", {{"error", more.error().message}});
  forget_at_ = turn + (more && *more ? 1 : kForgetTurns);
}

Task<void> Daemon::look_after() {
  asio::steady_timer timer(host_->loop);
  for (std::uint64_t i = 0;; ++i) {
    tidy(i);
    timer.expires_after(kLookAfterEvery);
    const auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    if (error) co_return;
    const auto metered = host_->market->meter(
        [this](const std::string& icon) { return host_->icons->look_at(icon); });
    if (!metered) log::error("leases.not_metered", {{"error", metered.error().message}});
    if (const auto expired = host_->market->expire(); !expired)
      log::error("leases.not_expired", {{"error", expired.error().message}});
    if (const auto ticked = host_->sales->tick(); !ticked)
      log::error("sales.failed", {{"error", ticked.error().message}});
    host_->icons->check_all();
    asio::co_spawn(host_->loop, host_->containers->clear_left_over(), asio::detached);
    // Of a CRIU that was killed, say: the tree and its helpers come to us.
    reap_orphans([this](int pid) { return host_->containers->awaits(pid); });
    host_->mover->expire();
  }
}

Task<void> Daemon::stop(bool stop_icons) {
  if (host_server_) host_server_->stop();
  if (peer_server_) peer_server_->stop();
  if (stop_icons) co_await host_->icons->stop_all(kStopGrace);
  host_->icons->close_all_sockets();
  log::info("supervisor.stopped", {{"icons_stopped", stop_icons}});
}

}  // namespace icon::supervisor
