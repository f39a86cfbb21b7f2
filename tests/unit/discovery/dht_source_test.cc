#include "discovery/dht_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

#include "discovery/discovery.h"
#include "tests/unit/discovery/run_task.h"
#include "wire/advertisement.h"
#include "wire/envelope.h"

namespace icon::discovery {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string kNear = "203.0.113.0/24";
const std::string kWide = "203.0.0.0/16";

class FakeDht final : public DhtLookup {
 public:
  Task<Result<std::vector<DhtValue>>> values(std::vector<std::string> keys) override {
    asked = std::move(keys);
    if (failure) co_return fail(*failure);
    co_return answer;
  }
  std::vector<std::string> asked;
  std::vector<DhtValue> answer;
  std::optional<Error> failure;
};

class DhtSourceTest : public ::testing::Test {
 protected:
  static wire::Advertisement word(std::uint8_t seed) {
    wire::Advertisement word;
    word.provider = KeyPair::from_seed({seed}).public_key();
    word.name = "edge";
    word.apis = {*Endpoint::parse("192.0.2.7:7946"), *Endpoint::parse("[2001:db8::7]:7946")};
    word.networks = {*Prefix::parse(kNear), *Prefix::parse(kWide)};
    word.nonce = "n1";
    word.issued_ms = SystemClock().utc_ms() - 1'000;
    word.expires_ms = word.issued_ms + 1'800'000;
    return word;
  }
  static std::string sealed(const wire::Advertisement& word, std::uint8_t signer,
                            const std::string& type = "advertisement") {
    const auto envelope = wire::seal(KeyPair::from_seed({signer}), type, word.to_json());
    return boost::json::serialize(envelope->to_json());
  }
  Findings find(std::vector<PathHop> hops = {}, DhtLimits limits = {}) {
    DhtProviderSource source(dht_, clock_, limits);
    Surroundings around(std::move(hops), {*Address::parse("203.0.113.9")});
    return run_task(source.find(std::move(around)));
  }
  // The one reason why `value` under `key` is not taken.
  std::string refused(const std::string& key, const std::string& value) {
    dht_.answer = {{key, value}};
    const auto found = find();
    EXPECT_THAT(found.providers, IsEmpty());
    EXPECT_THAT(found.rejected, SizeIs(1));
    return found.rejected.empty() ? "" : found.rejected[0].reason;
  }

  FakeDht dht_;
  SystemClock clock_;
};

TEST_F(DhtSourceTest, ASignedAdvertisementIsAProvider) {
  dht_.answer = {{kNear, sealed(word(1), 1)}, {kWide, sealed(word(1), 1)}};
  const auto found =
      find({{*Address::parse("203.0.113.1"), 5, 4000}, {*Address::parse("10.0.0.1"), 1, 100}});
  EXPECT_THAT(dht_.asked, ElementsAre(kNear, kWide));
  ASSERT_THAT(found.providers, SizeIs(1)) << "found twice, it is one";
  const auto& provider = found.providers[0];
  EXPECT_EQ(provider.id->id(), KeyPair::from_seed({1}).id());
  EXPECT_EQ(provider.name, "edge");
  EXPECT_EQ(provider.source, "dht");
  EXPECT_EQ(provider.domain, "") << "nobody has proven one";
  EXPECT_EQ(provider.api.to_string(), "192.0.2.7:7946");
  EXPECT_THAT(provider.other_apis, SizeIs(1));
  EXPECT_EQ(provider.hop_ttl, 5);
  EXPECT_THAT(found.rejected, IsEmpty());
}

TEST_F(DhtSourceTest, NobodySpeaksForAnother) {
  EXPECT_THAT(refused(kNear, sealed(word(1), 2)), HasSubstr("advertisement is signed by"));
  auto text = sealed(word(1), 1);
  text.replace(text.find("192.0.2.7"), 9, "192.0.2.8");
  EXPECT_THAT(refused(kNear, text), HasSubstr("signature"));
  EXPECT_THAT(refused(kNear, sealed(word(1), 1, "offer")), HasSubstr("advertisement"));
  auto elsewhere = word(1);
  elsewhere.networks = {*Prefix::parse("198.51.100.0/24")};
  EXPECT_EQ(refused(kNear, sealed(elsewhere, 1)), "an advertisement for other networks");
}

TEST_F(DhtSourceTest, WhatIsOldOrLastsTooLongOrIsHugeIsRefused) {
  auto old = word(1);
  old.issued_ms -= 7'200'000;
  old.expires_ms -= 7'200'000;
  EXPECT_THAT(refused(kNear, sealed(old, 1)), HasSubstr("expired"));
  auto eternal = word(1);
  eternal.expires_ms += wire::kAdvertisementMsMax;
  EXPECT_THAT(refused(kNear, sealed(eternal, 1)), HasSubstr("a day at most"));
  EXPECT_EQ(refused(kNear, std::string(4097, ' ')), "an advertisement of more than 4096 bytes");
  EXPECT_THAT(refused(kNear, "\x80\x01garbage"), HasSubstr(""));
}

TEST_F(DhtSourceTest, AddressesThatNobodyMayBeSentTo) {
  auto inside = word(1);
  inside.apis = {*Endpoint::parse("127.0.0.1:22")};
  EXPECT_EQ(refused(kNear, sealed(inside, 1)), "127.0.0.1 is not a public address");
  inside.apis = {};
  EXPECT_THAT(refused(kNear, sealed(inside, 1)), HasSubstr("'apis': is empty"));
  inside.apis = {*Endpoint::parse("192.0.2.7:0")};
  EXPECT_THAT(refused(kNear, sealed(inside, 1)), HasSubstr("port 0"));
}

TEST_F(DhtSourceTest, MoreThanWasAskedForIsCut) {
  EXPECT_EQ(refused("198.51.100.0/24", sealed(word(1), 1)), "an answer to another question");
  dht_.answer.assign(300, {kNear, "x"});
  const auto many = find();
  EXPECT_THAT(many.rejected, SizeIs(DhtLimits{}.rejections_max));
  EXPECT_THAT(many.rejected[0].reason, HasSubstr("only 256 of 300"));
  std::vector<PathHop> hops;
  for (std::uint32_t i = 0; i < 100; ++i)
    hops.push_back({Address::v4(0x0b000001u + (i << 16)), 1, 1});
  dht_.answer.clear();
  const auto wide = find(hops);
  EXPECT_THAT(dht_.asked, SizeIs(64));
  EXPECT_EQ(dht_.asked[0], kNear) << "the users' own first";
  EXPECT_THAT(wide.rejected, ElementsAre(Rejection{"dht", "only 64 networks are looked up"}));
}

TEST_F(DhtSourceTest, NoTableIsAReason) {
  dht_.failure = Error{Code::kUnavailable, "this host has no DHT"};
  EXPECT_THAT(find().rejected, ElementsAre(Rejection{"dht", "this host has no DHT"}));
}

TEST_F(DhtSourceTest, TheSameInTheDnsIsOneProvider) {
  ProviderCandidate named;
  named.name = named.domain = "edge.example";
  named.id = KeyPair::from_seed({1}).public_key();
  named.api = *Endpoint::parse("192.0.2.9:7946");
  named.source = "dns";
  named.dnssec = Dnssec::kSecure;
  dht_.answer = {{kNear, sealed(word(1), 1)}};
  auto providers = find().providers;
  providers.insert(providers.begin(), named);
  std::vector<Rejection> rejected;
  merge_providers(providers, rejected);
  ASSERT_THAT(providers, SizeIs(1));
  EXPECT_EQ(providers[0].name, "edge.example");
  EXPECT_EQ(providers[0].dnssec, Dnssec::kSecure);
  EXPECT_THAT(providers[0].other_apis, Contains(*Endpoint::parse("192.0.2.7:7946")));
  EXPECT_THAT(rejected, IsEmpty());
}

}  // namespace
}  // namespace icon::discovery
