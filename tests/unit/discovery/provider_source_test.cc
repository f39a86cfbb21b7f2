#include "discovery/provider_source.h"

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

std::string text_of(std::uint8_t seed, const std::string& more = {}) {
  return "v=icon1 id=" + KeyPair::from_seed({seed}).id() + more;
}

PathHop hop(const char* address, int ttl = 3, std::int64_t rtt_us = 3000) {
  return {*Address::parse(address), ttl, rtt_us};
}

auto reason_is(const std::string& part) {
  return Contains(Field(&Rejection::reason, HasSubstr(part)));
}

class DnsProviderSourceTest : public ::testing::Test {
 protected:
  Findings find(std::vector<PathHop> hops, DnsLimits limits = {}) {
    limits.seed = 1;
    DnsProviderSource source(dns_, limits);
    return run_task(source.find(std::move(hops)));
  }
  int asked(const std::string& name, RecordType type) { return dns_.asked[{name, type}]; }

  FakeResolver dns_;
};

TEST_F(DnsProviderSourceTest, FromHopToProvider) {
  dns_.add_hop("198.51.100.1", "ae1.r1.edge.example");
  dns_.add_hop("198.51.100.2", "r2.edge.example");
  dns_.add_hop("198.51.100.3", "r3.transit.example");
  dns_.add_provider("edge.example", "slot1.edge.example", "203.0.113.7",
                    text_of(1, " loc=Here tee=none"), 10);
  const auto found =
      find({hop("198.51.100.2", 6, 9000), hop("198.51.100.1", 5, 8000), hop("198.51.100.3", 2)});
  ASSERT_THAT(found.providers, SizeIs(1));
  const auto& provider = found.providers[0];
  EXPECT_EQ(provider.name, "edge.example");
  EXPECT_EQ(provider.domain, "edge.example");
  EXPECT_EQ(provider.api.to_string(), "203.0.113.7:7946");
  EXPECT_EQ(provider.id->id(), KeyPair::from_seed({1}).id());
  EXPECT_EQ(provider.location, "Here");
  EXPECT_EQ(provider.source, "dns");
  EXPECT_EQ(provider.priority, 10);
  EXPECT_EQ(provider.hop_ttl, 6);
  EXPECT_EQ(provider.hop_rtt_us, 9000);
  EXPECT_THAT(found.rejected, IsEmpty());
  EXPECT_THAT(found.names, SizeIs(3));
  EXPECT_THAT(found.domains, ElementsAre("edge.example", "transit.example"));
  EXPECT_EQ(asked("_icon._tcp.edge.example", RecordType::kSrv), 1);
  // A domain without SRV is no provider: not asked further, no news.
  EXPECT_EQ(asked("_icon._tcp.transit.example", RecordType::kTxt), 0);
}

TEST_F(DnsProviderSourceTest, WhatLeadsToPaymentIsProven) {
  FakeResolver proof;
  for (const char* domain : {"good.example", "forged.example", "lost.example", "none.example"}) {
    const std::string host = "r." + std::string(domain);
    dns_.add_hop(("198.51.100." + std::to_string(dns_.answers.size() + 1)).c_str(), host);
    if (host == "r.none.example") continue;
    dns_.add_provider(domain, host, "203.0.113.7", text_of(9));
    proof.add_provider(domain, host, "203.0.113.7", text_of(1));
    proof.at("_icon._tcp." + std::string(domain), RecordType::kSrv).dnssec = Dnssec::kSecure;
    proof.at("_icon._tcp." + std::string(domain), RecordType::kTxt).dnssec = Dnssec::kSecure;
  }
  proof.errors.emplace(FakeResolver::Key{"_icon._tcp.forged.example", RecordType::kTxt},
                       Error{Code::kUnauthenticated, "DNSSEC: bogus: wrong"});
  // A resolver that validates answers what is bogus with a failure.
  dns_.errors.emplace(FakeResolver::Key{"_icon._tcp.lost.example", RecordType::kSrv},
                      Error{Code::kIo, "server failure"});
  proof.errors.emplace(FakeResolver::Key{"_icon._tcp.lost.example", RecordType::kSrv},
                       Error{Code::kUnauthenticated, "DNSSEC: bogus: expired"});
  std::vector<PathHop> hops;
  for (const auto& [key, answer] : dns_.answers)
    if (key.second == RecordType::kPtr)
      hops.push_back(hop(("198.51.100." + key.first.substr(0, key.first.find('.'))).c_str()));
  DnsProviderSource source(dns_, {}, &proof);
  const auto found = run_task(source.find(hops));
  ASSERT_THAT(found.providers, SizeIs(1));
  EXPECT_EQ(found.providers[0].domain, "good.example");
  EXPECT_EQ(found.providers[0].id->id(), KeyPair::from_seed({1}).id())
      << "the proven answer counts";
  EXPECT_EQ(found.providers[0].dnssec, Dnssec::kSecure);
  EXPECT_THAT(found.rejected, reason_is("TXT: DNSSEC: bogus: wrong"));
  EXPECT_THAT(found.rejected, reason_is("SRV: DNSSEC: bogus: expired"));
  // Most domains are no providers: not worth a proof.
  EXPECT_EQ((proof.asked[{"_icon._tcp.none.example", RecordType::kSrv}]), 0);
}

TEST_F(DnsProviderSourceTest, PrivateHopsAreSkipped) {
  dns_.add_hop("10.0.0.1", "gw.corporate.example");
  const auto found = find({hop("10.0.0.1"), hop("192.168.1.1"), hop("100.64.0.1")});
  EXPECT_THAT(dns_.asked, IsEmpty());
  EXPECT_THAT(found.providers, IsEmpty());
}

TEST_F(DnsProviderSourceTest, NonPublicTargetsAreRejected) {
  dns_.add_hop("198.51.100.1", "r1.evil.example");
  int i = 0;
  for (const char* address : {"127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fe80::1",
                              "fd00::1", "224.0.0.1", "0.0.0.0", "255.255.255.255"}) {
    const std::string host = "t" + std::to_string(i++) + ".evil.example";
    dns_.add_provider("evil.example", host, address, text_of(1));
    if (!Address::parse(address)->is_v4()) {
      dns_.answers.erase({host, RecordType::kA});
      dns_.at(host, RecordType::kAaaa).addresses = {*Address::parse(address)};
    }
  }
  const auto found = find({hop("198.51.100.1")}, {.srv_targets_max = 16});
  EXPECT_THAT(found.providers, IsEmpty());
  int not_public = 0;
  for (const auto& rejection : found.rejected)
    if (rejection.reason.find("is not a public address") != std::string::npos) ++not_public;
  EXPECT_EQ(not_public, i);
}

TEST_F(DnsProviderSourceTest, PublicAddressBesideAPrivateOneIsTaken) {
  dns_.add_hop("198.51.100.1", "r1.edge.example");
  dns_.add_provider("edge.example", "a.edge.example", "10.0.0.1", text_of(1));
  dns_.at("a.edge.example", RecordType::kA).addresses.push_back(*Address::parse("203.0.113.1"));
  dns_.at("a.edge.example", RecordType::kAaaa).addresses.push_back(*Address::parse("2001:db8::1"));
  const auto found = find({hop("198.51.100.1")});
  ASSERT_THAT(found.providers, SizeIs(1));
  EXPECT_EQ(found.providers[0].api.to_string(), "203.0.113.1:7946");
  EXPECT_THAT(found.providers[0].other_apis, ElementsAre(*Endpoint::parse("[2001:db8::1]:7946")));
  EXPECT_THAT(found.rejected, reason_is("10.0.0.1 is not a public address"));
}

TEST_F(DnsProviderSourceTest, WithoutAnIdNothing) {
  dns_.add_hop("198.51.100.1", "r1.edge.example");
  dns_.add_provider("edge.example", "a.edge.example", "203.0.113.1", "v=spf1 -all");
  EXPECT_THAT(find({hop("198.51.100.1")}).rejected, reason_is("whose key to expect is unknown"));
  auto& texts = dns_.at("_icon._tcp.edge.example", RecordType::kTxt).texts;
  texts = {"v=icon1 id=nonsense"};
  const auto found = find({hop("198.51.100.1")});
  EXPECT_THAT(found.providers, IsEmpty());
  EXPECT_THAT(found.rejected, reason_is("'id' is no public key"));
}

TEST_F(DnsProviderSourceTest, TextForOneHost) {
  dns_.add_hop("198.51.100.1", "r1.edge.example");
  dns_.add_provider("edge.example", "a.edge.example", "203.0.113.1", text_of(1));
  dns_.add_provider("edge.example", "b.edge.example", "203.0.113.2",
                    text_of(2, " host=b.edge.example"), 20);
  const auto found = find({hop("198.51.100.1")});
  ASSERT_THAT(found.providers, SizeIs(2));
  EXPECT_EQ(found.providers[0].id->id(), KeyPair::from_seed({1}).id());
  EXPECT_EQ(found.providers[1].id->id(), KeyPair::from_seed({2}).id());
}

TEST_F(DnsProviderSourceTest, OneKeyOnSeveralHostsIsOneProvider) {
  dns_.add_hop("198.51.100.1", "r1.edge.example");
  dns_.add_provider("edge.example", "b.edge.example", "203.0.113.2", text_of(1), 20);
  dns_.add_provider("edge.example", "a.edge.example", "203.0.113.1", text_of(1), 10);
  const auto found = find({hop("198.51.100.1")});
  ASSERT_THAT(found.providers, SizeIs(1));
  EXPECT_EQ(found.providers[0].api.to_string(), "203.0.113.1:7946");
  EXPECT_THAT(found.providers[0].other_apis, ElementsAre(*Endpoint::parse("203.0.113.2:7946")));
}

TEST_F(DnsProviderSourceTest, ThousandSrvTargets) {
  dns_.add_hop("198.51.100.1", "r1.huge.example");
  for (int i = 0; i < 1000; ++i)
    dns_.at("_icon._tcp.huge.example", RecordType::kSrv)
        .srv.push_back({1, 1, 7946, "t" + std::to_string(i) + ".huge.example"});
  dns_.at("_icon._tcp.huge.example", RecordType::kTxt).texts = {text_of(1)};
  const auto found = find({hop("198.51.100.1")});
  int lookups = 0;
  for (const auto& [key, count] : dns_.asked) lookups += count;
  EXPECT_LE(lookups, 3 + 2 * 8);
  EXPECT_THAT(found.rejected, reason_is("only 8 of 1000 targets"));
}

TEST_F(DnsProviderSourceTest, OddSrvRecords) {
  dns_.add_hop("198.51.100.1", "r1.edge.example");
  auto& srv = dns_.at("_icon._tcp.edge.example", RecordType::kSrv).srv;
  srv = {{1, 1, 7946, ""}, {1, 1, 0, "a.edge.example"}, {1, 1, 7946, "none.edge.example"}};
  dns_.at("_icon._tcp.edge.example", RecordType::kTxt).texts = {text_of(1)};
  const auto found = find({hop("198.51.100.1")});
  EXPECT_THAT(found.providers, IsEmpty());
  EXPECT_THAT(found.rejected, reason_is("offers no such service"));
  EXPECT_THAT(found.rejected, reason_is("port 0"));
  EXPECT_THAT(found.rejected, reason_is("no usable address"));
}

TEST_F(DnsProviderSourceTest, WhatWasCutIsSaid) {
  dns_.add_hop("198.51.100.1", "r1.edge.example");
  dns_.add_provider("edge.example", "a.edge.example", "203.0.113.1", text_of(1));
  dns_.at("_icon._tcp.edge.example", RecordType::kTxt).cut = {"more TXT bytes than are read"};
  EXPECT_THAT(find({hop("198.51.100.1")}).rejected, reason_is("more TXT bytes"));
}

TEST_F(DnsProviderSourceTest, FailuresAreReasons) {
  dns_.errors[{reverse_name(*Address::parse("198.51.100.1")), RecordType::kPtr}] = {
      Code::kTimeout, "no answer in time"};
  dns_.add_hop("198.51.100.2", "r2.edge.example");
  dns_.errors[{"_icon._tcp.edge.example", RecordType::kSrv}] = {Code::kIo, "server failure"};
  const auto found = find({hop("198.51.100.1"), hop("198.51.100.2")});
  EXPECT_THAT(found.rejected, reason_is("PTR: no answer in time"));
  EXPECT_THAT(found.rejected, reason_is("SRV: server failure"));
}

TEST_F(DnsProviderSourceTest, DomainsAreLimitedAndAskedOnce) {
  std::vector<PathHop> hops;
  for (int i = 1; i <= 100; ++i) {
    const std::string address = "198.51.100." + std::to_string(i);
    dns_.add_hop(address.c_str(), "r.isp" + std::to_string(i % 50) + ".example");
    hops.push_back(hop(address.c_str()));
  }
  const auto found = find(hops);
  EXPECT_THAT(found.domains, SizeIs(32));
  for (const auto& domain : found.domains)
    EXPECT_EQ(asked("_icon._tcp." + domain, RecordType::kSrv), 1);
  EXPECT_THAT(found.rejected, reason_is("more than 32 domains"));
  const auto fewer = find(hops, {.hops_max = 10});
  EXPECT_THAT(fewer.names, SizeIs(10));
  EXPECT_THAT(fewer.rejected, reason_is("only the first 10 of 100"));
}

TEST_F(DnsProviderSourceTest, NamesThatBelongToNobody) {
  dns_.add_hop("198.51.100.1", "co.uk");
  dns_.add_hop("198.51.100.2", "localhost");
  const auto found = find({hop("198.51.100.1"), hop("198.51.100.2"), hop("198.51.100.3")});
  EXPECT_THAT(found.domains, IsEmpty());
  EXPECT_THAT(found.rejected, SizeIs(2));
}

TEST(ConfiguredProviderSource, HandsOnItsList) {
  ProviderCandidate one;
  one.name = "one";
  one.api = *Endpoint::parse("10.0.0.1:1");
  ConfiguredProviderSource source({one});
  auto found = run_task(source.find({}));
  ASSERT_THAT(found.providers, SizeIs(1));
  EXPECT_EQ(found.providers[0].source, "configured");
  source.replace({});
  EXPECT_THAT(run_task(source.find({})).providers, IsEmpty());
}

}  // namespace
}  // namespace icon::discovery
