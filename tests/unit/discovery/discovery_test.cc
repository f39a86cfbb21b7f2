#include "discovery/discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/detached.hpp>

#include "tests/unit/discovery/fake_resolver.h"
#include "tests/unit/discovery/run_task.h"

namespace icon::discovery {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Every target lies behind the same two routers; time passes while it traces.
class FakeTracer final : public Tracer {
 public:
  explicit FakeTracer(FakeClock& clock) : clock_(clock) {}
  Task<Result<TraceReport>> trace(std::vector<Address> targets, TraceLimits limits) override {
    co_await boost::asio::post(co_await boost::asio::this_coro::executor,
                               boost::asio::use_awaitable);
    last_limits = limits;
    clock_.advance(Millis(250));
    if (failure) co_return fail(*failure);
    TraceReport report;
    for (const auto& target : targets) {
      TraceResult trace;
      trace.target = target;
      trace.reached = true;
      const std::vector<std::pair<const char*, std::int64_t>> path{
          {"10.0.0.1", 200}, {"198.51.100.1", 1000}, {"198.51.100.2", 9000}};
      int ttl = 0;
      for (const auto& [address, rtt_us] : path)
        trace.hops.push_back({++ttl, *Address::parse(address), rtt_us, 1, false});
      trace.hops.push_back({++ttl, std::nullopt, 0, 2, false});
      trace.hops.push_back({++ttl, target, 12'000, 1, false});
      report.traces.push_back(std::move(trace));
    }
    report.probes_sent = 7;
    co_return report;
  }

  std::optional<Error> failure;
  TraceLimits last_limits;

 private:
  FakeClock& clock_;
};

class DiscoveryTest : public ::testing::Test {
 protected:
  DiscoveryTest() {
    dns_.add_hop("198.51.100.1", "r1.transit.example");
    dns_.add_hop("198.51.100.2", "r2.edge.example");
    dns_.add_provider("edge.example", "a.edge.example", "203.0.113.7",
                      "v=icon1 id=" + KeyPair::from_seed({1}).id());
  }
  Result<DiscoveryReport> run(std::vector<Address> targets) {
    return run_task(discovery_.run(std::move(targets)));
  }
  static ProviderCandidate configured(std::uint8_t seed, const char* api) {
    ProviderCandidate provider;
    provider.name = "configured one";
    provider.id = KeyPair::from_seed({seed}).public_key();
    provider.api = *Endpoint::parse(api);
    return provider;
  }

  FakeClock clock_;
  FakeTracer tracer_{clock_};
  FakeResolver dns_;
  DnsProviderSource dns_source_{dns_, {}};
  ConfiguredProviderSource configured_;
  Discovery discovery_{tracer_, dns_, {&dns_source_, &configured_}, clock_, {}};
  const Address user_ = *Address::parse("192.0.2.9");
};

TEST_F(DiscoveryTest, FromUsersToProviders) {
  configured_.replace({configured(2, "10.9.9.9:7946")});
  const auto report = run({user_, user_, *Address::parse("192.0.2.10")});
  ASSERT_TRUE(report);
  EXPECT_THAT(report->traces, SizeIs(2));
  ASSERT_THAT(report->providers, SizeIs(2));
  EXPECT_EQ(report->providers[0].source, "configured");
  EXPECT_EQ(report->providers[1].name, "edge.example");
  EXPECT_EQ(report->providers[1].hop_ttl, 3);
  EXPECT_EQ(report->on_path_rtt_us(user_, "edge.example"), 9000);
  EXPECT_EQ(report->on_path_rtt_us(user_, "other.example"), std::nullopt);
  EXPECT_EQ(report->on_path_rtt_us(*Address::parse("192.0.2.77"), "edge.example"), std::nullopt);
  EXPECT_EQ(report->timings.trace, Millis(250));
  EXPECT_EQ(dns_.closed, 1);
  EXPECT_EQ(dns_.last_budget, Millis(19'750));
  EXPECT_EQ(tracer_.last_limits.deadline, Millis(10'000));
}

TEST_F(DiscoveryTest, FoundTwiceIsOne) {
  configured_.replace({configured(1, "203.0.113.7:7946")});
  const auto report = run({user_});
  ASSERT_THAT(report->providers, SizeIs(1));
  EXPECT_EQ(report->providers[0].name, "configured one");
  EXPECT_EQ(report->providers[0].source, "configured");
  EXPECT_EQ(report->providers[0].domain, "edge.example");
  EXPECT_EQ(report->providers[0].hop_rtt_us, 9000);
}

TEST_F(DiscoveryTest, NonPublicAndTooManyTargetsAreSaid) {
  discovery_.limits().targets_max = 2;
  std::vector<Address> targets{*Address::parse("10.1.1.1"), *Address::parse("127.0.0.1")};
  for (int i = 1; i <= 5; ++i) targets.push_back(Address::v4(0xc0000200u + unsigned(i)));
  const auto report = run(targets);
  EXPECT_THAT(report->traces, SizeIs(2));
  EXPECT_THAT(report->rejected,
              Contains(Rejection{"10.1.1.1", "not traced: not a public address"}));
  EXPECT_THAT(report->rejected, Contains(Field(&Rejection::reason, HasSubstr("3 not traced"))));
}

TEST_F(DiscoveryTest, FailedTraceLeavesTheConfiguredOnes) {
  tracer_.failure = Error{Code::kRefused, "no socket"};
  configured_.replace({configured(2, "203.0.113.9:7946")});
  const auto report = run({user_});
  ASSERT_TRUE(report);
  EXPECT_THAT(report->providers, SizeIs(1));
  EXPECT_THAT(report->rejected, ElementsAre(Rejection{"trace", "no socket"}));
}

TEST_F(DiscoveryTest, NoTargetsNoTrace) {
  configured_.replace({configured(2, "203.0.113.9:7946")});
  EXPECT_THAT(run({})->providers, SizeIs(1));
}

TEST_F(DiscoveryTest, OneRunAtATime) {
  IoContext loop(1);
  boost::asio::co_spawn(loop, discovery_.run({user_}), boost::asio::detached);
  loop.poll_one();
  EXPECT_EQ(run_task(loop, discovery_.run({user_})).error().code, Code::kConflict);
  loop.restart();
  loop.run();
  EXPECT_TRUE(run({user_}));
}

TEST_F(DiscoveryTest, EvidenceHasACanonicalForm) {
  const auto report = run({user_, *Address::parse("10.1.1.1")});
  const auto object = report->to_json();
  EXPECT_TRUE(json::canonical(object));
  const auto& trace = object.at("traces").as_array().at(0).as_object();
  EXPECT_EQ(trace.at("target").as_string(), "192.0.2.9");
  EXPECT_EQ(trace.at("hops").as_array().at(3).as_object().at("address").as_string(), "");
  EXPECT_EQ(object.at("providers").as_array().at(0).as_object().at("api").as_string(),
            "203.0.113.7:7946");
  EXPECT_EQ(object.at("rejected").as_array().size(), 1u);
}

TEST(PathHops, PublicOnesOnceFarthestFirst) {
  TraceResult one;
  one.hops = {{1, *Address::parse("10.0.0.1"), 5, 1, false},
              {2, *Address::parse("192.0.2.1"), 700, 1, false},
              {3, std::nullopt, 0, 2, false},
              {4, *Address::parse("192.0.2.2"), 0, 0, true}};
  TraceResult two = one;
  two.hops[1].rtt_us_min = 600;
  two.hops[3] = {5, *Address::parse("192.0.2.2"), 900, 1, false};
  const auto hops = path_hops({one, two});
  ASSERT_THAT(hops, SizeIs(2));
  EXPECT_EQ(hops[0].address.to_string(), "192.0.2.2");
  EXPECT_EQ(hops[0].ttl, 5);
  EXPECT_EQ(hops[0].rtt_us, 900);
  EXPECT_EQ(hops[1].rtt_us, 600);
}

}  // namespace
}  // namespace icon::discovery
