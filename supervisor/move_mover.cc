// The Mover: moves that leave, moves that arrive, and the stubs they leave behind.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/log.h"
#include "migration/criu_checkpointer.h"
#include "migration/worker.h"
#include "supervisor/continuity/continuity.h"
#include "supervisor/host.h"
#include "supervisor/image_store.h"
#include "supervisor/move_destination.h"
#include "supervisor/move_parts.h"
#include "supervisor/move_source.h"
#include "supervisor/mover.h"
#include "supervisor/one_at_a_time.h"
#include "supervisor/removal.h"
#include "supervisor/stubs.h"
#include "supervisor/traits.h"

namespace icon::supervisor {
namespace {

constexpr std::uint64_t kForgetTurns = 600;  // once in so many calls of expire()

class HostMover final : public Mover {
 public:
  explicit HostMover(Host& host)
      : host_(host),
        checkpointer_({host.config.criu, program_path("icon-criu-hold")}),
        traits_(host.loop, host.config, checkpointer_),
        stubs_(host),
        arriving_(host, stubs_, checkpointer_) {
    host_.continuity = std::make_unique<Continuity>(
        host_, [this](const std::string& icon) { return leaving_.contains(icon); });
  }

  Task<Result<std::string>> start(MoveRequest request) override {
    if (leaving_.contains(request.icon_id))
      co_return fail(Code::kConflict, "another move of this ICON is under way");
    ICON_CO_TRY(auto move, SourceMove::create(host_, stubs_, checkpointer_, std::move(request)));
    const std::string id = move->id();
    run_in_background(std::move(move));
    co_return id;
  }

  void add_peer_routes(http::Router& router) override {
    arriving_.add_routes(router);
    host_.continuity->add_peer_routes(router);
  }

  Task<void> recover() override {
    remove_left_aside(host_.config.state_dir);
    remove_half_images();
    co_await recover_tunnels();
    co_await stubs_.recover();
    co_await arriving_.recover();
    co_await host_.continuity->recover();
    const auto rows = host_.journal->unfinished_migrations();
    if (!rows) co_return;
    for (const auto& row : *rows) {
      if (row.role != "source") continue;
      auto move = SourceMove::recover(host_, stubs_, checkpointer_, row);
      if (!move) {
        log::error("migration.recover", {{"migration", row.id}, {"error", move.error().message}});
        continue;
      }
      run_in_background(std::move(*move));
    }
  }

  Task<bool> carries_other_users() override { return checkpointer_.carries_other_users(); }
  Task<migration::HostTraits> traits() override { return traits_.get(); }

  Task<Status> remove_stub(const std::string& icon_id) override {
    co_return co_await stubs_.remove(icon_id);
  }

  Task<Status> guide(const IconRecord& icon, Guided guided) override {
    co_return co_await stubs_.guide(icon, std::move(guided));
  }

  void expire() override {
    stubs_ending_.begin(host_.loop, stubs_.expire());
    arriving_.expire();
    host_.continuity->look_after();
    if (expirations_++ % kForgetTurns == 0) images_.begin(host_.loop, forget_old_images());
  }

 private:
  void run_in_background(std::unique_ptr<SourceMove> move) {
    const std::string icon_id = move->icon_id();
    auto* running = move.get();
    leaving_[icon_id] = std::move(move);
    boost::asio::co_spawn(host_.loop, running->run(),
                          [this, icon_id](std::exception_ptr) { leaving_.erase(icon_id); });
  }

  // Images that were still on their way when our predecessor ended: "DIGEST.MIGRATION".
  void remove_half_images() {
    std::error_code error;
    std::filesystem::directory_iterator images(host_.config.state_dir + "/images", error);
    if (error) return;
    std::vector<std::string> half;
    for (const auto& entry : images)
      if (entry.path().filename().string().find('.') != std::string::npos)
        half.push_back(entry.path());
    for (const auto& path : half)
      if (const auto removed = remove_later(host_.config.state_dir, path); !removed)
        log::warn("images.left_over", {{"path", path}, {"error", removed.error().message}});
  }

  Task<void> forget_old_images() {
    const std::string directory = host_.config.state_dir + "/images";
    auto measure = [directory]() -> Status {
      measure_images(directory);
      return {};
    };
    (void)co_await migration::run_on(worker_pool(), std::move(measure));
    // From here to the renaming without a pause: nobody begins to use one meanwhile.
    const auto icons = host_.journal->icons();
    if (!icons) co_return;
    std::set<std::string> used;
    for (const auto& icon : *icons)
      if (icon.state != icon_state::kMoved && icon.state != icon_state::kStopped &&
          icon.state != icon_state::kFailed)
        used.insert(icon.image_digest);
    auto old = set_old_images_aside(directory, used, ImageLimits{},
                                    std::filesystem::file_time_type::clock::now());
    if (old.empty()) co_return;
    log::info("images.forgotten", {{"count", old.size()}});
    auto remove = [old = std::move(old)]() -> Status {
      std::error_code error;
      for (const auto& path : old) std::filesystem::remove_all(path, error);
      return {};
    };
    (void)co_await migration::run_on(worker_pool(), std::move(remove));
  }

  // Tunnels outlive the supervisor as processes; here they get their peers' ends again.
  Task<void> recover_tunnels() {
    const auto rows = host_.journal->tunnels();
    if (!rows) co_return;
    for (const auto& [peer, row] : *rows) {
      const auto* remote_json = row.if_contains("remote");
      const auto remote = remote_json != nullptr && remote_json->is_object()
                              ? tunnel_from_json(remote_json->get_object())
                              : Result<net::TunnelEnd>(fail(Code::kInvalid, "no remote end"));
      const auto local = host_.network->open_tunnel(peer);
      const auto connected = !local    ? Status(fail(local.error()))
                             : !remote ? Status(fail(remote.error()))
                                       : host_.network->connect_tunnel(peer, *remote);
      if (!connected)
        log::error("tunnel.not_recovered", {{"peer", peer}, {"error", connected.error().message}});
    }
  }

  Host& host_;
  migration::CriuCheckpointer checkpointer_;
  TraitsReader traits_;
  Stubs stubs_;
  DestinationMoves arriving_;
  std::map<std::string, std::unique_ptr<SourceMove>> leaving_;  // by ICON
  std::uint64_t expirations_ = 0;
  OneAtATime stubs_ending_;
  OneAtATime images_;
};

}  // namespace

std::unique_ptr<Mover> make_mover(Host& host) { return std::make_unique<HostMover>(host); }

}  // namespace icon::supervisor
