#include "agent/provider_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace icon::agent {
namespace {

using ::testing::HasSubstr;

discovery::ProviderCandidate candidate(const std::string& name, const std::string& domain,
                                       const std::string& api) {
  discovery::ProviderCandidate result;
  result.name = name;
  result.domain = domain;
  result.api = *Endpoint::parse(api);
  result.source = domain.empty() ? "configured" : "dns";
  result.id = KeyPair::generate().public_key();
  return result;
}

discovery::Hop hop(int ttl, const char* address, std::int64_t rtt_us) {
  discovery::Hop result;
  result.ttl = ttl;
  if (address != nullptr) result.address = *Address::parse(address);
  result.rtt_us_min = rtt_us;
  return result;
}

// here - 198.51.100.1 (transit) - 203.0.113.1 and .2 (edge) - user 192.0.2.7
discovery::DiscoveryReport report() {
  discovery::DiscoveryReport result;
  discovery::TraceResult trace;
  trace.target = *Address::parse("192.0.2.7");
  trace.reached = true;
  trace.hops = {hop(1, "198.51.100.1", 1'000), hop(2, nullptr, 0), hop(3, "203.0.113.1", 8'000),
                hop(4, "203.0.113.2", 9'000), hop(5, "192.0.2.7", 10'000)};
  result.traces = {trace};
  result.names = {{*Address::parse("198.51.100.1"), "r1.transit.test", "transit.test"},
                  {*Address::parse("203.0.113.1"), "b1.edge.test", "edge.test"},
                  {*Address::parse("203.0.113.2"), "a1.edge.test", "edge.test"}};
  result.providers = {candidate("edge.test", "edge.test", "203.0.113.10:7946"),
                      candidate("transit.test", "transit.test", "198.51.100.10:7946"),
                      candidate("named", "", "192.0.2.200:7946")};
  return result;
}

const std::vector<Prefix> kPrefixes{*Prefix::parse("192.0.2.0/24")};

TEST(ProviderBook, KnowsWhereAProviderIsOnTheWay) {
  const auto providers = known_providers(report(), kPrefixes);
  ASSERT_EQ(providers.size(), 3U);
  EXPECT_EQ(providers[0].view.on_path_ttl.at(kPrefixes[0]), 3);  // its border, not its far end
  EXPECT_EQ(providers[1].view.on_path_ttl.at(kPrefixes[0]), 1);
  EXPECT_TRUE(providers[2].view.on_path_ttl.empty());
  EXPECT_TRUE(providers[2].view.names.configured);
  EXPECT_FALSE(providers[0].view.names.configured);
}

TEST(ProviderBook, SilentHopsAreAbsentFromTheTrace) {
  const auto traces = trace_views(report(), kPrefixes);
  ASSERT_EQ(traces.size(), 1U);
  ASSERT_EQ(traces[0].hops.size(), 4U);
  EXPECT_EQ(traces[0].hops[1].ttl, 3);
  EXPECT_EQ(reached_rtts(report(), kPrefixes).at(kPrefixes[0]), 10'000);
}

// A private user is not traced: the traces of those after him are still theirs.
TEST(ProviderBook, ATraceBelongsToThePrefixOfItsTarget) {
  const std::vector<Prefix> prefixes{*Prefix::parse("10.1.2.0/24"), kPrefixes[0]};
  EXPECT_EQ(trace_views(report(), prefixes).at(0).prefix, kPrefixes[0]);
  const auto reached = reached_rtts(report(), prefixes);
  EXPECT_EQ(reached.size(), 1U);
  EXPECT_EQ(reached.at(kPrefixes[0]), 10'000);
  const auto on_path = known_providers(report(), prefixes)[0].view.on_path_ttl;
  EXPECT_EQ(on_path.size(), 1U);
  EXPECT_EQ(on_path.at(kPrefixes[0]), 3);
}

TEST(ProviderBook, ATraceThatDidNotArriveGivesNoDistance) {
  auto seen = report();
  seen.traces[0].reached = false;
  EXPECT_TRUE(reached_rtts(seen, kPrefixes).empty());
}

TEST(ProviderBook, FindsByEveryNameThatAnOperatorMayUse) {
  const auto providers = known_providers(report(), kPrefixes);
  const auto& edge = providers[0].view;
  for (const std::string& target :
       {std::string("edge.test"), std::string("EDGE.test"), edge.names.id,
        edge.names.id.substr(0, 8), std::string("203.0.113.10:7946")}) {
    const auto found = find_provider(providers, target);
    ASSERT_TRUE(found) << target;
    EXPECT_EQ(found->view.names.id, edge.names.id) << target;
  }
  EXPECT_EQ(find_provider(providers, "named")->view.api.to_string(), "192.0.2.200:7946");
}

TEST(ProviderBook, AnAddressThatNobodyAnnouncedIsTheOperatorsWord) {
  const auto found = find_provider(known_providers(report(), kPrefixes), "192.0.2.99:7946");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->view.source, "operator");
  EXPECT_TRUE(found->view.names.id.empty());
}

TEST(ProviderBook, SaysWhomItKnows) {
  const auto unknown = find_provider(known_providers(report(), kPrefixes), "nobody");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::kNotFound);
  EXPECT_THAT(unknown.error().message, HasSubstr("edge.test, transit.test, named"));
  auto twins = known_providers(report(), kPrefixes);
  twins.push_back(twins[0]);
  EXPECT_EQ(find_provider(twins, "edge.test").error().code, Code::kConflict);
  // Too short for an id: else one letter would choose somebody.
  EXPECT_FALSE(find_provider(twins, twins[1].view.names.id.substr(0, 3)));
}

TEST(ProviderBook, ThePolicysListComesFirst) {
  Policy policy;
  policy.providers.push_back({"mine", "", *Endpoint::parse("192.0.2.1:1"), {}, {}});
  const json::Array of_host{
      json::Object{{"name", "host"}, {"api", "192.0.2.2:2"}, {"id", KeyPair::generate().id()}},
      json::Object{{"name", "broken"}}, "rubbish"};
  const auto candidates = configured_providers(policy, of_host);
  ASSERT_EQ(candidates.size(), 2U);
  EXPECT_EQ(candidates[0].name, "mine");
  EXPECT_FALSE(candidates[0].id);
  EXPECT_EQ(candidates[1].name, "host");
  EXPECT_EQ(candidates[1].source, "configured");
}

class PrefixViewsTest : public ::testing::Test {
 protected:
  void see(std::uint32_t min_rtt_us) {
    TcpSample sample;
    sample.user = *Address::parse("192.0.2.7");
    sample.min_rtt_us = min_rtt_us;
    table_.begin_dump();
    table_.add(sample);
    table_.end_dump();
  }
  std::vector<budget::PrefixView> views(const ReachedRtts& reached) {
    return prefix_views(table_.snapshot(), table_, 50, reached);
  }
  FakeClock clock_;
  LatencyTable table_{clock_};
};

TEST_F(PrefixViewsTest, AProbeKnowsNoDelayedAcknowledgement) {
  see(50'000);
  EXPECT_EQ(views({})[0].rtt_us, 50'000);
  EXPECT_EQ(views({{kPrefixes[0], 10'000}})[0].rtt_us, 10'000);
  EXPECT_EQ(views({{kPrefixes[0], 90'000}})[0].rtt_us, 50'000);
}

TEST_F(PrefixViewsTest, UsersWithoutAMeasurementDoNotVote) {
  see(0);
  EXPECT_TRUE(views({{kPrefixes[0], 10'000}}).empty());
}

TEST(Representatives, HeaviestFirstAndBounded) {
  std::vector<PrefixLatency> prefixes(5);
  for (std::size_t i = 0; i < prefixes.size(); ++i) {
    prefixes[i].prefix = Prefix::of_user(Address::v4(static_cast<std::uint32_t>(i << 8)));
    prefixes[i].weight = static_cast<std::int64_t>(4 - i);
  }
  const auto chosen = representatives(prefixes, 3);
  ASSERT_EQ(chosen.prefixes.size(), 3U);
  EXPECT_EQ(chosen.prefixes[0], prefixes[0].prefix);
  EXPECT_EQ(representatives(prefixes, 10).prefixes.size(), 4U);  // the last one is idle
}

}  // namespace
}  // namespace icon::agent
