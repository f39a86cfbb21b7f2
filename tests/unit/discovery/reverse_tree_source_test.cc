#include "discovery/reverse_tree_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/discovery/fake_resolver.h"
#include "tests/unit/discovery/run_task.h"

namespace icon::discovery {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Address at(const std::string& text) { return *Address::parse(text); }

std::string words(std::uint8_t seed) { return "v=icon1 id=" + KeyPair::from_seed({seed}).id(); }

class ReverseTreeTest : public ::testing::Test {
 protected:
  Findings find(std::vector<PathHop> hops, std::vector<Address> users,
                ReverseTreeLimits limits = {}) {
    limits.service.seed = 1;
    ReverseTreeSource source(dns_, limits);
    Surroundings around(std::move(hops), std::move(users));
    return run_task(source.find(std::move(around)));
  }
  int asked(const std::string& network) {
    return dns_.asked[{"_icon._tcp." + network, RecordType::kSrv}];
  }
  int questions() {
    int sum = 0;
    for (const auto& [key, count] : dns_.asked)
      if (key.second == RecordType::kSrv) sum += count;
    return sum;
  }

  FakeResolver dns_;
};

TEST_F(ReverseTreeTest, NamesOfTheNetworksAsInRfc8686) {
  EXPECT_THAT(reverse_networks(at("203.0.113.9"), false),
              ElementsAre("9.113.0.203.in-addr.arpa", "113.0.203.in-addr.arpa",
                          "0.203.in-addr.arpa", "203.in-addr.arpa"));
  EXPECT_THAT(reverse_networks(at("203.0.113.9"), true),
              ElementsAre("113.0.203.in-addr.arpa", "0.203.in-addr.arpa", "203.in-addr.arpa"));
  const auto v6 = reverse_networks(at("2001:db8:1:2345:6:7:8:9"), false);
  ASSERT_THAT(v6, SizeIs(5));
  EXPECT_EQ(v6[0], reverse_name(at("2001:db8:1:2345:6:7:8:9")));
  EXPECT_EQ(v6[1], "5.4.3.2.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
  EXPECT_EQ(v6[2], "3.2.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
  EXPECT_EQ(v6[3], "1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
  EXPECT_EQ(v6[4], "8.b.d.0.1.0.0.2.ip6.arpa");
  EXPECT_THAT(reverse_networks(at("2001:db8:1::9"), true), ElementsAre(v6[3], v6[4]));
}

TEST_F(ReverseTreeTest, TheSmallestNetworkWithRecordsCountsAndIsAskedOnce) {
  dns_.add_provider("113.0.203.in-addr.arpa", "slot.edge.example", "192.0.2.7", words(1));
  dns_.add_provider("0.203.in-addr.arpa", "far.other.example", "192.0.2.8", words(2));
  const auto found = find({{at("203.0.113.1"), 6, 9000}, {at("203.0.114.1"), 3, 4000}},
                          {at("203.0.113.9"), at("203.0.113.77")});
  ASSERT_THAT(found.providers, SizeIs(2));
  const auto& far = found.providers[0];
  const auto& near = found.providers[1];
  EXPECT_EQ(near.name, "edge.example");
  EXPECT_EQ(near.domain, "edge.example");
  EXPECT_EQ(near.source, "reverse");
  EXPECT_EQ(near.api.to_string(), "192.0.2.7:7946");
  EXPECT_EQ(near.hop_ttl, 6);
  EXPECT_EQ(far.domain, "other.example");
  EXPECT_EQ(far.hop_ttl, 3);
  EXPECT_EQ(asked("113.0.203.in-addr.arpa"), 1);
  EXPECT_EQ(asked("0.203.in-addr.arpa"), 1);
  EXPECT_EQ(asked("1.113.0.203.in-addr.arpa"), 1) << "a router is asked for by its address";
  EXPECT_EQ(asked("9.113.0.203.in-addr.arpa"), 0) << "a user is not";
  EXPECT_EQ(asked("203.in-addr.arpa"), 0) << "everybody has arrived";
}

TEST_F(ReverseTreeTest, NothingPrivateIsAskedFor) {
  const auto found = find({{at("10.0.0.1"), 1, 100}}, {at("192.168.1.9"), at("fd00::1")});
  EXPECT_THAT(found.providers, IsEmpty());
  EXPECT_EQ(questions(), 0);
}

TEST_F(ReverseTreeTest, ARunHasABudget) {
  std::vector<Address> users;
  for (std::uint32_t i = 0; i < 400; ++i) users.push_back(Address::v4(0x0b000001u + (i << 16)));
  ReverseTreeLimits limits;
  limits.questions_max = 300;
  const auto found = find({}, users, limits);
  EXPECT_EQ(questions(), 300);
  EXPECT_THAT(found.rejected, Contains(Field(&Rejection::reason, HasSubstr("first 256 of 400"))));
  EXPECT_THAT(found.rejected,
              Contains(Field(&Rejection::reason, HasSubstr("more than 300 questions"))));
}

TEST_F(ReverseTreeTest, AZoneThatNamesSomebodyForEveryAddressIsCut) {
  std::vector<PathHop> hops;
  for (int i = 1; i <= 200; ++i) {
    const std::string address = "198.18.7." + std::to_string(i);
    hops.push_back({at(address), 4, 1000});
    dns_.add_provider(reverse_name(at(address)), "one.edge.example", "192.0.2.7", words(1));
  }
  const auto found = find(hops, {});
  EXPECT_THAT(found.providers, SizeIs(1)) << "found many times, it is one";
  const int texts =
      static_cast<int>(std::count_if(dns_.asked.begin(), dns_.asked.end(), [](const auto& entry) {
        return entry.first.second == RecordType::kTxt;
      }));
  EXPECT_LE(texts, static_cast<int>(ReverseTreeLimits{}.networks_max +
                                    ReverseTreeLimits{}.lookups_in_flight_max));
  EXPECT_THAT(found.rejected,
              Contains(Field(&Rejection::reason, HasSubstr("more than 32 have records"))));
}

TEST_F(ReverseTreeTest, ZonesWithoutServersAreOneLine) {
  for (const char* network : {"113.0.203.in-addr.arpa", "0.203.in-addr.arpa"})
    dns_.errors[{"_icon._tcp." + std::string(network), RecordType::kSrv}] =
        Error{Code::kTimeout, "no answer"};
  const auto found = find({}, {at("203.0.113.9")});
  ASSERT_THAT(found.rejected, SizeIs(1));
  EXPECT_EQ(found.rejected[0].subject, "reverse tree");
  EXPECT_EQ(found.rejected[0].reason,
            "2 of 3 questions failed, the first one about 0.203.in-addr.arpa: no answer");
}

TEST_F(ReverseTreeTest, RecordsThatAreNoneAreRefusedAsUnderADomain) {
  dns_.add_provider("113.0.203.in-addr.arpa", "in.edge.example", "10.0.0.1", words(1));
  dns_.at("_icon._tcp.0.192.in-addr.arpa", RecordType::kSrv).srv.push_back({1, 1, 7946, "com"});
  dns_.at("_icon._tcp.0.192.in-addr.arpa", RecordType::kTxt).texts.push_back(words(2));
  const auto found = find({}, {at("203.0.113.9"), at("192.0.2.9")});
  EXPECT_THAT(found.providers, IsEmpty());
  EXPECT_THAT(found.rejected, Contains(Rejection{"113.0.203.in-addr.arpa (in.edge.example:7946)",
                                                 "10.0.0.1 is not a public address"}));
  EXPECT_THAT(found.rejected, Contains(Rejection{"0.192.in-addr.arpa (com:7946)",
                                                 "the host belongs to no domain"}));
}

}  // namespace
}  // namespace icon::discovery
