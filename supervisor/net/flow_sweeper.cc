#include "supervisor/net/flow_sweeper.h"

#include <boost/asio/post.hpp>
#include <functional>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "supervisor/net/conntrack.h"

namespace icon::net {
namespace {

// An arrival does not wait for a tidying of the whole host.
constexpr std::size_t kThreads = 2;

}  // namespace

FlowSweeper::FlowSweeper(std::optional<FastFlows> flows)
    : flows_(std::move(flows)), pool_(kThreads) {}

FlowSweeper::~FlowSweeper() { pool_.join(); }

std::shared_future<void> FlowSweeper::post(std::function<Status()> work) {
  auto task = std::make_shared<std::packaged_task<void()>>([work = std::move(work)] {
    if (const auto status = work(); !status)
      log::warn("net.sweep", {{"error", status.error().message}});
  });
  std::shared_future<void> done = task->get_future().share();
  boost::asio::post(pool_, [task] { (*task)(); });
  return done;
}

FlowSweeper::Sweep FlowSweeper::sweep(std::set<Address> overlays, Which which) {
  Sweep sweep;
  sweep.is_void = std::make_shared<std::atomic<bool>>(false);
  sweep.done = post([this, overlays = std::move(overlays), which, is_void = sweep.is_void] {
    return sweep_now(overlays, which, *is_void);
  });
  return sweep;
}

std::shared_future<void> FlowSweeper::tidy(std::set<Address> left) {
  return post([this, left = std::move(left)] { return tidy_now(left); });
}

// Connection tracking first: it is asked which of its connections the fast path carries.
Status FlowSweeper::sweep_now(const std::set<Address>& overlays, Which which,
                              const std::atomic<bool>& is_void) const {
  if (is_void) return {};
  const auto begin = std::chrono::steady_clock::now();
  ICON_TRY(Conntrack conntrack, Conntrack::open());
  const auto side =
      which == Which::kEndedLately ? Conntrack::Side::kAnswers : Conntrack::Side::kBoth;
  const auto gone = [&](const TrackedConnection& connection) {
    return !is_void && (which == Which::kAll || connection.has_ended() || bypasses(connection));
  };
  ICON_TRY(const std::size_t tracked, conntrack.erase(overlays, side, gone));
  std::size_t fast = 0;
  if (flows_ && !is_void) {
    ICON_TRY(fast, flows_->erase(overlays, which != Which::kAll));
  }
  const auto took = std::chrono::steady_clock::now() - begin;
  log::info("net.sweep", {{"tracked", tracked},
                          {"fast", fast},
                          {"took_us", std::chrono::duration_cast<Micros>(took).count()}});
  return {};
}

Status FlowSweeper::tidy_now(const std::set<Address>& left) const {
  const auto begin = std::chrono::steady_clock::now();
  ICON_TRY(Conntrack conntrack, Conntrack::open());
  const auto gone = [&](const TrackedConnection& connection) {
    return left.contains(connection.from.address) ||
           left.contains(connection.answer_from.address) || bypasses(connection) ||
           (flows_ && flows_->adopt(connection));
  };
  ICON_TRY(const std::size_t tracked, conntrack.erase(gone));
  std::size_t fast = 0;
  if (flows_ && !left.empty()) {
    ICON_TRY(fast, flows_->erase(left, /*ended_only=*/false));
  }
  const auto took = std::chrono::steady_clock::now() - begin;
  log::info("net.tidy", {{"tracked", tracked},
                         {"fast", fast},
                         {"took_us", std::chrono::duration_cast<Micros>(took).count()}});
  return {};
}

}  // namespace icon::net
