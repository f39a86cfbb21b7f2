// The hosts of a swarm and their election on three etcd: one of them at a time, also when the
// orchestrator falls silent and comes back.
#include <set>

#include "supervisor/continuity/swarm_board.h"
#include "tests/ledger/etcd_cluster.h"
#include "tests/ledger/slow_relay.h"

namespace icon::supervisor {
namespace {

class SwarmTest : public test::EtcdCluster {
 protected:
  SwarmBoard board(const std::string& id) {
    return std::move(*SwarmBoard::create(options("/icon/swarm/test/"), id));
  }
};

TEST_F(SwarmTest, OneOrchestratorAndNoSecondDecision) {
  auto a = board("a");
  auto b = board("b");
  const auto first = a.meet("report of a");
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_TRUE(first->is_here);
  const auto second = b.meet("report of b");
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_FALSE(second->is_here);
  EXPECT_EQ(second->orchestrator, "a");
  EXPECT_EQ(second->reports.size(), 2u);

  // Who was not elected writes nothing, whatever it believes.
  auto pretender = *second;
  pretender.term += 1;
  EXPECT_EQ(b.decide("i", "b's", pretender).error().code, Code::kConflict);
  ASSERT_TRUE(a.decide("i", "a's", *first));
  // Nor does the orchestrator on what it has not seen: its own decision, by now.
  EXPECT_EQ(a.decide("i", "again", *first).error().code, Code::kConflict);
  const auto seen = a.meet("report of a");
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->decisions.at("i").text, "a's");
  ASSERT_TRUE(a.decide("i", "a's second", *seen));

  // It falls silent: its lease ends, its report and its decisions go, another is elected.
  std::optional<SwarmView> elected;
  ASSERT_TRUE(test::eventually(
      [&] {
        const auto view = b.meet("report of b");
        if (view && view->is_here) elected = *view;
        return elected.has_value();
      },
      Millis(20'000)));
  EXPECT_GT(elected->term, first->term);
  EXPECT_EQ(elected->reports.size(), 1u);
  EXPECT_TRUE(elected->decisions.empty());
  ASSERT_TRUE(b.decide("i", "b's", *elected));
  // It comes back, still in the belief that it decides.
  EXPECT_EQ(a.decide("i", "a's late one", *seen).error().code, Code::kConflict);
  EXPECT_EQ(a.decide("j", "a's late other", *seen).error().code, Code::kConflict);
  const auto back = a.meet("report of a");
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_FALSE(back->is_here);
  EXPECT_EQ(back->decisions.at("i").text, "b's");

  // One of etcd's nodes is killed: the election stands.
  nodes_[0].signal(SIGKILL);
  ASSERT_TRUE(nodes_[0].wait(Millis(5'000)));
  ASSERT_TRUE(test::eventually([&] { return b.meet("report of b").has_value(); }));
}

TEST_F(SwarmTest, WhatOneMakesTooLargeIsNothingToTheOthers) {
  auto a = board("a");
  auto b = board("b");
  ASSERT_TRUE(a.meet("report of a"));
  (void)a.meet(std::string(SwarmBoard::kTextBytesMax + 1, 'x'));
  const auto view = b.meet("report of b");
  ASSERT_TRUE(view) << view.error().message;
  EXPECT_EQ(view->orchestrator, "a");
  EXPECT_EQ(view->reports, std::vector<std::string>{"report of b"});
}

// An etcd that is 50 ms away, and more to decide than there is time for under one lease of 3 s:
//
//   board --TCP--> relay, 50 ms a request --TCP--> etcd
TEST_F(SwarmTest, ASlowEtcdLeavesNoIconUndecided) {
  constexpr std::size_t kIcons = 100;
  const test::SlowRelay relay(clients_[0], Millis(50));
  auto far = options("/icon/swarm/slow/");
  far.endpoints = {relay.url()};
  auto board = std::move(*SwarmBoard::create(far, "a"));
  std::vector<HostReport> reports(2);
  for (auto& report : reports) {
    report.host = KeyPair::generate().public_key();
    report.free = {1'000, 1 << 30, 1 << 20};
  }
  for (std::size_t i = 0; i < kIcons; ++i)
    reports[0].icons.push_back({KeyPair::generate().id(), 1, {1, 1, 1}, false, {}});

  const SystemClock clock;
  SwarmChooser chooser;
  std::set<std::int64_t> terms;
  std::map<std::string, SwarmDecision> standing;
  // As the orchestrator's loop.
  const auto round = [&] {
    const auto view = board.meet("report of a");
    if (!view) return false;
    terms.insert(view->term);
    standing = view->standing();
    if (standing.size() == kIcons) return true;
    const auto decisions = chooser.step(reports, standing, clock.steady());
    const auto written = board.decide_all(decisions, *view, clock);
    EXPECT_TRUE(written.ended) << written.ended.error().message;
    for (std::size_t i = 0; i < written.count; ++i) chooser.written(decisions[i], clock.steady());
    return false;
  };
  EXPECT_TRUE(test::eventually(round, Millis(60'000)));
  EXPECT_EQ(standing.size(), kIcons);
  EXPECT_EQ(terms.size(), 1u) << "the election stood all the time";
}

}  // namespace
}  // namespace icon::supervisor
