#include "discovery/trace_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <queue>
#include <random>
#include <set>

namespace icon::discovery {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::uint64_t kCookie = 42;
constexpr SteadyTime kStart{std::chrono::seconds(100)};

Address target_address(std::size_t i) {
  return Address::v4(0xc6336400u + static_cast<std::uint32_t>(i));  // 198.51.100.i
}
Address router(int ttl) { return Address::v4(0xcb007100u + static_cast<std::uint32_t>(ttl)); }

// A network in which target i is `length` hops away, one millisecond per hop; `shape` may change or
// drop an answer.
class Network {
 public:
  using Shape = std::function<std::optional<ProbeReply>(const Probe&, ProbeReply)>;

  Network(std::size_t targets, int length, TraceLimits limits, Shape shape = {})
      : length_(length),
        shape_(std::move(shape)),
        plan(addresses(targets), TraceMethod::kUdp, limits, kCookie, kStart) {}

  // Runs to the end, or until `until`.
  std::vector<TraceResult> run(SteadyTime until = SteadyTime::max()) {
    while (!plan.done() && now < until) {
      plan.expire(now);
      while (const auto probe = plan.next(now)) {
        sent.push_back({now, *probe});
        answer(*probe);
      }
      if (plan.done()) break;
      SteadyTime next = plan.wait_until(now);
      EXPECT_GE(next, now);
      if (!arriving_.empty()) next = std::min(next, arriving_.top().at);
      now = std::max(next, now + std::chrono::microseconds(1));
      while (!arriving_.empty() && arriving_.top().at <= now) {
        const auto arrival = arriving_.top();
        arriving_.pop();
        if (!plan.on_reply(arrival.reply, arrival.at)) ++ignored;
      }
    }
    return plan.results();
  }

  struct Sent {
    SteadyTime at;
    Probe probe;
  };

 private:
  struct Arrival {
    SteadyTime at;
    ProbeReply reply;
    bool operator<(const Arrival& other) const { return at > other.at; }
  };

  static std::vector<Address> addresses(std::size_t count) {
    std::vector<Address> list;
    for (std::size_t i = 0; i < count; ++i) list.push_back(target_address(i));
    return list;
  }

  void answer(const Probe& probe) {
    ProbeReply reply;
    reply.target = plan.target(probe.target);
    reply.tag = probe.tag;
    reply.cookie = kCookie;
    const int hop = std::min(probe.tag.ttl, length_);
    reply.from = hop == length_ ? reply.target : router(hop);
    reply.kind = hop == length_ ? ProbeReply::Kind::kUnreachable : ProbeReply::Kind::kTimeExceeded;
    reply.code = 3;
    std::optional<ProbeReply> shaped = shape_ ? shape_(probe, reply) : reply;
    if (shaped) arriving_.push({now + Millis(hop), *shaped});
  }

  int length_;
  Shape shape_;
  std::priority_queue<Arrival> arriving_;

 public:
  TracePlan plan;
  SteadyTime now = kStart;
  std::vector<Sent> sent;
  int ignored = 0;
};

void expect_whole_path(const TraceResult& trace, int length) {
  EXPECT_TRUE(trace.reached);
  ASSERT_THAT(trace.hops, SizeIs(length));
  for (int ttl = 1; ttl <= length; ++ttl) {
    const Hop& hop = trace.hops[static_cast<std::size_t>(ttl) - 1];
    EXPECT_EQ(hop.ttl, ttl);
    EXPECT_EQ(hop.address, ttl == length ? trace.target : router(ttl));
    EXPECT_EQ(hop.rtt_us_min, ttl * 1000);
  }
}

TEST(TracePlan, FindsEveryHopWithOneProbeEach) {
  Network network(10, 8, {});
  for (const auto& trace : network.run()) expect_whole_path(trace, 8);
  // The window may run ahead of the target, not more.
  EXPECT_LE(network.sent.size(), 10u * (8 + 6));
  EXPECT_EQ(network.plan.probes_sent(), network.sent.size());
}

TEST(TracePlan, RepeatsWhatIsLost) {
  Network network(3, 6, {}, [](const Probe& probe, ProbeReply reply) -> std::optional<ProbeReply> {
    if (probe.tag.attempt == 1 && probe.tag.ttl % 2 == 0) return std::nullopt;
    return reply;
  });
  for (const auto& trace : network.run()) {
    expect_whole_path(trace, 6);
    EXPECT_EQ(trace.hops[1].probes, 2);
    EXPECT_EQ(trace.hops[0].probes, 1);
  }
}

TEST(TracePlan, SilentHopIsAHoleNotTheEnd) {
  Network network(1, 9, {}, [](const Probe& probe, ProbeReply reply) -> std::optional<ProbeReply> {
    if (probe.tag.ttl >= 3 && probe.tag.ttl <= 6) return std::nullopt;
    return reply;
  });
  const auto trace = network.run()[0];
  EXPECT_TRUE(trace.reached);
  ASSERT_THAT(trace.hops, SizeIs(9));
  EXPECT_FALSE(trace.hops[2].address);
  EXPECT_EQ(trace.hops[2].probes, 2);
  EXPECT_TRUE(trace.hops[6].address);
}

TEST(TracePlan, FiveSilentHopsEndTheTrace) {
  Network network(1, 25, {}, [](const Probe& probe, ProbeReply reply) -> std::optional<ProbeReply> {
    if (probe.tag.ttl > 4) return std::nullopt;
    return reply;
  });
  const auto trace = network.run()[0];
  EXPECT_FALSE(trace.reached);
  EXPECT_THAT(trace.hops, SizeIs(4));
  EXPECT_THAT(trace.note, ::testing::HasSubstr("silent after hop 4"));
  for (const auto& sent : network.sent) EXPECT_LE(sent.probe.tag.ttl, 4 + 5 + 6);
}

TEST(TracePlan, NothingAtAll) {
  Network network(4, 9, {}, [](const Probe&, ProbeReply) { return std::nullopt; });
  for (const auto& trace : network.run()) EXPECT_THAT(trace.hops, IsEmpty());
  EXPECT_LT(network.now - kStart, std::chrono::seconds(3));
}

TEST(TracePlan, StopsAtTheLargestTtl) {
  TraceLimits limits;
  limits.ttl_max = 5;
  Network network(1, 20, limits);
  const auto trace = network.run()[0];
  EXPECT_FALSE(trace.reached);
  EXPECT_THAT(trace.hops, SizeIs(5));
}

TEST(TracePlan, UnreachableEndsAndSaysWho) {
  Network network(1, 20, {}, [](const Probe& probe, ProbeReply reply) {
    if (probe.tag.ttl >= 4) {
      reply.kind = ProbeReply::Kind::kUnreachable;
      reply.code = 13;
      reply.from = router(4);
    }
    return std::optional(reply);
  });
  const auto trace = network.run()[0];
  EXPECT_FALSE(trace.reached);
  EXPECT_THAT(trace.hops, SizeIs(4));
  EXPECT_EQ(trace.note, "unreachable, code 13, says " + router(4).to_string());
}

TEST(TracePlan, SeveralRepliesGiveTheMinimum) {
  TraceLimits limits;
  limits.tries_per_hop = 4;
  limits.replies_per_hop = 3;
  Network network(1, 3, limits);
  const auto trace = network.run()[0];
  expect_whole_path(trace, 3);
  for (const auto& hop : trace.hops) EXPECT_EQ(hop.probes, 3);
}

TEST(TracePlan, AnswersWithoutTagAreToldApartOneByOne) {
  Network network(2, 5, {}, [](const Probe&, ProbeReply reply) {
    reply.tag.reset();
    reply.cookie.reset();
    return std::optional(reply);
  });
  for (const auto& trace : network.run()) {
    EXPECT_TRUE(trace.reached);
    ASSERT_THAT(trace.hops, SizeIs(5));
    for (int ttl = 1; ttl < 5; ++ttl)
      EXPECT_EQ(trace.hops[static_cast<std::size_t>(ttl) - 1].address, router(ttl));
  }
}

TEST(TracePlan, ForgeriesChangeNothing) {
  TracePlan plan({target_address(1)}, TraceMethod::kUdp, {}, kCookie, kStart);
  const auto probe = plan.next(kStart);
  ASSERT_TRUE(probe);
  ProbeReply good;
  good.target = target_address(1);
  good.from = router(1);
  good.tag = probe->tag;
  good.cookie = kCookie;
  const SteadyTime later = kStart + Millis(1);

  ProbeReply forged = good;
  forged.cookie = kCookie + 1;
  EXPECT_FALSE(plan.on_reply(forged, later));
  forged = good;
  forged.target = target_address(2);
  EXPECT_FALSE(plan.on_reply(forged, later));
  forged = good;
  forged.tag = ProbeTag{9, 1};  // never sent
  EXPECT_FALSE(plan.on_reply(forged, later));
  forged = good;
  forged.tag = ProbeTag{1, 2};  // no such attempt
  EXPECT_FALSE(plan.on_reply(forged, later));
  forged = good;
  forged.tag = ProbeTag{kTtlMax, kAttemptsMax};
  EXPECT_FALSE(plan.on_reply(forged, later));
  EXPECT_FALSE(plan.on_reply(good, kStart - Millis(1)));  // before it was sent

  EXPECT_TRUE(plan.on_reply(good, later));
  EXPECT_FALSE(plan.on_reply(good, later));  // a duplicate
  forged = good;
  forged.from = router(9);
  EXPECT_FALSE(plan.on_reply(forged, later));
  plan.stop("deadline");
  EXPECT_EQ(plan.results()[0].hops[0].address, router(1));
}

TEST(TracePlan, LateAnswerStillCounts) {
  TraceLimits limits;
  limits.probe_timeout = Millis(100);
  TracePlan plan({target_address(1)}, TraceMethod::kUdp, limits, kCookie, kStart);
  const auto probe = plan.next(kStart);
  plan.expire(kStart + Millis(100));
  ProbeReply reply;
  reply.target = target_address(1);
  reply.from = router(1);
  reply.tag = probe->tag;
  reply.cookie = kCookie;
  EXPECT_TRUE(plan.on_reply(reply, kStart + Millis(150)));
  plan.stop("deadline");
  EXPECT_EQ(plan.results()[0].hops[0].rtt_us_min, 150'000);
}

TEST(TracePlan, PaceIsKept) {
  TraceLimits limits;
  limits.probes_per_second = 200;
  limits.probes_in_flight_max = 10'000;
  Network network(100, 5, limits);
  (void)network.run();
  for (std::size_t i = 0; i < network.sent.size(); ++i) {
    // In any second: the rate and one burst.
    std::size_t within = 0;
    for (std::size_t k = i; k < network.sent.size() &&
                            network.sent[k].at - network.sent[i].at < std::chrono::seconds(1);
         ++k)
      ++within;
    EXPECT_LE(within, 200u + 33u);
  }
}

TEST(TracePlan, ProbesUnderWayAreLimited) {
  TraceLimits limits;
  limits.probes_in_flight_max = 7;
  TracePlan plan({target_address(1), target_address(2), target_address(3)}, TraceMethod::kUdp,
                 limits, kCookie, kStart);
  int sent = 0;
  while (plan.next(kStart)) ++sent;
  EXPECT_EQ(sent, 7);
  plan.expire(kStart + limits.probe_timeout);
  EXPECT_TRUE(plan.next(kStart + limits.probe_timeout));
}

TEST(TracePlan, UnsendableTargetEndsAlone) {
  Network network(2, 4, {});
  const auto probe = network.plan.next(kStart);
  network.plan.unsendable(*probe, "Network is unreachable");
  const auto results = network.run();
  EXPECT_EQ(results[probe->target].note, "cannot send: Network is unreachable");
  EXPECT_TRUE(results[1 - probe->target].reached);
}

TEST(TracePlan, StopGivesWhatThereIs) {
  Network network(1, 20, {}, [](const Probe& probe, ProbeReply reply) -> std::optional<ProbeReply> {
    if (probe.tag.ttl == 3) return std::nullopt;
    return reply;
  });
  (void)network.run(kStart + Millis(40));
  network.plan.stop("deadline");
  EXPECT_TRUE(network.plan.done());
  const auto trace = network.plan.results()[0];
  EXPECT_EQ(trace.note, "deadline");
  EXPECT_GE(trace.hops.size(), 2u);
}

TEST(TracePlan, LimitsOutOfRange) {
  TraceLimits limits;
  EXPECT_TRUE(check_limits(limits));
  limits.ttl_max = 0;
  EXPECT_FALSE(check_limits(limits));
  limits = {};
  limits.tries_per_hop = kAttemptsMax;
  EXPECT_FALSE(check_limits(limits));
  limits = {};
  limits.replies_per_hop = 3;
  EXPECT_FALSE(check_limits(limits));
  limits = {};
  limits.probes_per_second = 0;
  EXPECT_FALSE(check_limits(limits));
}

// Whatever is lost, doubled or stripped of its tag: the trace ends in time, sends no more than it
// may, and never invents a hop.
TEST(TracePlan, RandomNetworks) {
  for (int round = 0; round < 200; ++round) {
    const unsigned seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    TraceLimits limits;
    limits.tries_per_hop = 1 + static_cast<int>(random() % 4);
    limits.window = 1 + static_cast<int>(random() % 10);
    const auto loss = random() % 100;
    const auto untagged = random() % 3 == 0 ? random() % 100 : 0;
    const int length = 1 + static_cast<int>(random() % 20);
    Network network(1 + random() % 20, length, limits,
                    [&](const Probe&, ProbeReply reply) -> std::optional<ProbeReply> {
                      if (random() % 100 < loss) return std::nullopt;
                      if (random() % 100 < untagged) reply.tag.reset();
                      return reply;
                    });
    const auto results = network.run(kStart + std::chrono::seconds(120));
    EXPECT_TRUE(network.plan.done());
    std::map<std::pair<std::size_t, int>, int> tries;
    for (const auto& sent : network.sent) {
      EXPECT_LE(++tries[std::make_pair(sent.probe.target, sent.probe.tag.ttl)], kAttemptsMax);
    }
    for (const auto& trace : results) {
      for (const auto& hop : trace.hops) {
        if (!hop.address || untagged > 0) continue;
        EXPECT_EQ(*hop.address, hop.ttl < length ? router(hop.ttl) : trace.target);
      }
    }
  }
}

}  // namespace
}  // namespace icon::discovery
