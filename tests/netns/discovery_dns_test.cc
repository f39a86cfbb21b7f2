// The resolver and the whole discovery against a real authoritative server, a huge zone, a dead
// server and a refusing one. The topology is drawn in discovery_chain.h; knotd runs in n4.
#include "tests/netns/discovery_dns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "discovery/parallel.h"

namespace icon::discovery {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class DnsTest : public DnsChain {
 protected:
  std::string ready_name() const override { return "a.alias.test"; }
  void write_zones() override {
    add_zone("edge.test",
             "_icon._tcp SRV 10 60 7946 slot1\n_icon._tcp SRV 20 40 7946 slot2\n"
             "slot1 A 203.0.113.71\nslot1 AAAA 2001:db8:9::71\nslot2 A 203.0.113.72\n"
             "_icon._tcp TXT \"v=icon1\" \"id=" +
                 provider_id(1) + "\" \"loc=Here\"\n");
    add_zone(
        "private.test",
        "_icon._tcp SRV 1 1 7946 in\nin A 10.0.0.1\nin A 127.0.0.1\n_icon._tcp TXT \"v=icon1 id=" +
            provider_id(2) + "\"\n");
    std::string huge;
    for (int i = 0; i < 1000; ++i) huge += "_icon._tcp SRV 1 1 7946 t" + std::to_string(i) + "\n";
    // Almost all that one message can carry: 64 KiB.
    for (int i = 0; i < 230; ++i)
      huge += "_icon._tcp TXT \"" + std::to_string(i) + " " + std::string(240, 'x') + "\"\n";
    add_zone("huge.test", huge);
    add_zone("alias.test",
             "a CNAME b\nb CNAME c.alias.test.\nc A 203.0.113.5\nl1 CNAME l2\nl2 CNAME l1\n"
             "_icon._tcp SRV 1 1 7946 l1\n_icon._tcp SRV 2 1 7946 _icon._tcp\n"
             "_icon._tcp TXT \"v=icon1 id=" +
                 provider_id(3) + "\"\n");
    std::string many;
    for (int i = 0; i < 1000; ++i) many += "n" + std::to_string(i) + " A 203.0.113.1\n";
    add_zone("many.test", many);
    add_zone("100.51.198.in-addr.arpa",
             "1 PTR r1.transit.test.\n3 PTR r2.private.test.\n5 PTR ae0.r3.edge.test.\n");
    add_zone("113.0.203.in-addr.arpa", "9 PTR user9.huge.test.\n");
    add_zone("8.b.d.0.1.0.0.2.ip6.arpa",
             "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.0.0.0.0 PTR r3.edge.test.\n");
    add_zone("transit.test", "");
  }
};

TEST_F(DnsTest, EveryTypeOfRecord) {
  EXPECT_THAT(ask({}, "5.100.51.198.in-addr.arpa", RecordType::kPtr)->names,
              ElementsAre("ae0.r3.edge.test"));
  const auto srv = ask({}, "_icon._tcp.edge.test", RecordType::kSrv);
  EXPECT_THAT(srv->srv,
              ::testing::UnorderedElementsAre(SrvRecord{10, 60, 7946, "slot1.edge.test"},
                                              SrvRecord{20, 40, 7946, "slot2.edge.test"}));
  EXPECT_EQ(srv->ttl_s, 300u);
  EXPECT_THAT(ask({}, "_icon._tcp.edge.test", RecordType::kTxt)->texts,
              ElementsAre("v=icon1 id=" + provider_id(1) + " loc=Here"));
  EXPECT_THAT(ask({}, "slot1.edge.test", RecordType::kA)->addresses,
              ElementsAre(*Address::parse("203.0.113.71")));
  EXPECT_THAT(ask({}, "slot1.edge.test", RecordType::kAaaa)->addresses,
              ElementsAre(*Address::parse("2001:db8:9::71")));
  const auto none = ask({}, "nothing.edge.test", RecordType::kA);
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_TRUE(none->empty());
  EXPECT_EQ(none->ttl_s, 60u);
  EXPECT_THAT(ask({}, "a.alias.test", RecordType::kA)->addresses, SizeIs(1));
  EXPECT_TRUE(ask({}, "l1.alias.test", RecordType::kA)->empty());
  EXPECT_EQ(ask({}, "www.elsewhere.example", RecordType::kA).error().code, Code::kRefused);
}

TEST_F(DnsTest, HugeAnswersComeByTcpAndAreCut) {
  const auto srv = ask({}, "_icon._tcp.huge.test", RecordType::kSrv);
  ASSERT_TRUE(srv) << srv.error().message;
  EXPECT_THAT(srv->srv, SizeIs(kSrvRecordsMax));
  EXPECT_THAT(srv->cut, SizeIs(1));
  const auto txt = ask({}, "_icon._tcp.huge.test", RecordType::kTxt);
  ASSERT_TRUE(txt) << txt.error().message;
  EXPECT_LE(txt->texts.size(), kTxtRecordsMax);
  EXPECT_FALSE(txt->cut.empty());
}

TEST_F(DnsTest, AThousandQueriesHundredAtATime) {
  int good = 0;
  with_resolver({}, [&](Resolver& resolver) -> Task<void> {
    const auto one = [&](std::size_t i) -> Task<void> {
      const auto answer = co_await resolver.a("n" + std::to_string(i) + ".many.test");
      if (answer && answer->addresses.size() == 1) ++good;
    };
    co_await for_each_index(1000, 1000, one);
  });
  EXPECT_EQ(good, 1000);
}

TEST_F(DnsTest, DeadServerCostsBoundedTime) {
  nft(1,
      "table ip t { chain c { type filter hook forward priority 0; udp dport 53 drop; "
      "tcp dport 53 drop; }; }");
  int failed = 0;
  const auto begin = std::chrono::steady_clock::now();
  with_resolver({.try_timeout = Millis(500)}, [&](Resolver& resolver) -> Task<void> {
    const auto one = [&](std::size_t i) -> Task<void> {
      if (!co_await resolver.a("n" + std::to_string(i) + ".many.test")) ++failed;
    };
    co_await for_each_index(1000, 1000, one);
  });
  EXPECT_EQ(failed, 1000);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
}

TEST_F(DnsTest, SecondServerTakesOver) {
  ResolverOptions options{.servers = {"198.51.100.1", kServer}, .try_timeout = Millis(300)};
  const auto answer = ask(options, "a.alias.test", RecordType::kA);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_THAT(answer->addresses, SizeIs(1));
}

TEST_F(DnsTest, FromUserToProviderWithoutPrivilege) {
  const auto report = trace({"--dns", kServer, kUserV4});
  const auto& providers = report.at("providers").as_array();
  ASSERT_THAT(providers, SizeIs(1));
  const auto& provider = providers.at(0).as_object();
  EXPECT_EQ(provider.at("domain").as_string(), "edge.test");
  EXPECT_EQ(provider.at("id").as_string(), provider_id(1).c_str());
  EXPECT_EQ(provider.at("api").as_string(), "203.0.113.71:7946");
  EXPECT_EQ(provider.at("other_apis").as_array().size(), 2u);
  EXPECT_EQ(provider.at("location").as_string(), "Here");
  EXPECT_EQ(provider.at("hop_ttl").as_int64(), 3);
  std::vector<std::string> reasons;
  for (const auto& rejection : report.at("rejected").as_array())
    reasons.push_back(std::string(rejection.as_object().at("subject").as_string()) + ": " +
                      std::string(rejection.as_object().at("reason").as_string()));
  EXPECT_THAT(reasons, Contains(AllOf(HasSubstr("private.test"),
                                      HasSubstr("10.0.0.1 is not a public address"))));
  EXPECT_THAT(reasons, Contains(AllOf(HasSubstr("private.test"),
                                      HasSubstr("127.0.0.1 is not a public address"))));
  EXPECT_THAT(reasons, Contains(AllOf(HasSubstr("huge.test"), HasSubstr("SRV"))));
}

TEST_F(DnsTest, FromUserToProviderByIpv6) {
  const auto report = trace({"--dns", kServer, kUserV6});
  ASSERT_THAT(report.at("providers").as_array(), SizeIs(1));
  EXPECT_EQ(report.at("providers").as_array().at(0).as_object().at("hop_ttl").as_int64(), 3);
}

TEST_F(DnsTest, DiscoveryWithADeadServerEndsInTime) {
  nft(1, "table ip t { chain c { type filter hook forward priority 0; udp dport 53 drop; }; }");
  const auto begin = std::chrono::steady_clock::now();
  const auto report = trace({"--dns", kServer, "--deadline", "2000", kUserV4});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
  EXPECT_EQ(report.at("traces").as_array().size(), 1u);
  EXPECT_FALSE(report.at("rejected").as_array().empty());
}

}  // namespace
}  // namespace icon::discovery
