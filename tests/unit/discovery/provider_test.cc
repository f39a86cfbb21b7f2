#include "discovery/provider.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace icon::discovery {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string& an_id() {
  static const std::string id = KeyPair::from_seed({1, 2, 3}).id();
  return id;
}
const std::string& other_id() {
  static const std::string id = KeyPair::from_seed({4, 5, 6}).id();
  return id;
}

TEST(ParseProviderText, Whole) {
  const auto text =
      parse_provider_text("v=icon1 id=" + an_id() + "  loc=Frankfurt/DE tee=sev-snp x=y");
  ASSERT_TRUE(text);
  EXPECT_EQ(text->id->id(), an_id());
  EXPECT_EQ(text->location, "Frankfurt/DE");
  EXPECT_EQ(text->attestation, "sev-snp");
  EXPECT_EQ(text->host, "");
  EXPECT_EQ(parse_provider_text("v=icon1 host=Edge.Example.")->host, "edge.example");
  EXPECT_FALSE(parse_provider_text("v=icon1")->id);
}

TEST(ParseProviderText, OnlyOurs) {
  EXPECT_TRUE(is_provider_text("v=icon1 id=x"));
  EXPECT_FALSE(is_provider_text("v=icon10 id=x"));
  EXPECT_FALSE(is_provider_text("v=spf1 -all"));
  EXPECT_FALSE(is_provider_text(""));
}

TEST(ParseProviderText, Malformed) {
  for (const std::string& bad :
       {std::string(), std::string("v=icon2"), std::string("v=icon1 id"), std::string("v=icon1 =x"),
        std::string("v=icon1 id="), std::string("v=icon1 id=abc"),
        "v=icon1 id=" + an_id() + " id=" + an_id(), std::string("v=icon1 loc=a loc=b"),
        std::string("v=icon1 loc=\x1b[2J"), std::string("v=icon1 loc=\xc3\xa9"),
        std::string("v=icon1 \0x=1", 12), "v=icon1 id=" + an_id() + "a",
        std::string("v=icon1 host=a..b"), std::string("v=icon1 host=a host=b"),
        "v=icon1 loc=" + std::string(kProviderTextValueBytesMax + 1, 'x'),
        "v=icon1 " + std::string(kProviderTextBytesMax, ' ')})
    EXPECT_FALSE(parse_provider_text(bad)) << bad;
}

TEST(ProviderFromJson, Configured) {
  const auto provider = provider_from_json(json::Object{{"name", "edge one"},
                                                        {"id", an_id()},
                                                        {"api", "198.51.100.1:7946"},
                                                        {"domain", "Edge1.Example"},
                                                        {"location", "here"},
                                                        {"priority", 5},
                                                        {"weight", 6}});
  ASSERT_TRUE(provider) << provider.error().message;
  EXPECT_EQ(provider->api.to_string(), "198.51.100.1:7946");
  EXPECT_EQ(provider->domain, "edge1.example");
  EXPECT_EQ(provider->source, "configured");
  EXPECT_EQ(provider->priority, 5);
  // A private address is the operator's business.
  EXPECT_TRUE(provider_from_json(json::Object{{"name", "x"}, {"api", "10.0.0.1:1"}}));
  EXPECT_TRUE(
      provider_from_json(json::Object{{"name", "x"}, {"id", ""}, {"api", "[2001:db8::1]:1"}}));
}

TEST(ProviderFromJson, Malformed) {
  for (const auto& bad : {json::Object{}, json::Object{{"name", "x"}},
                          json::Object{{"name", ""}, {"api", "1.1.1.1:1"}},
                          json::Object{{"name", "x"}, {"api", "1.1.1.1"}},
                          json::Object{{"name", "x"}, {"api", "1.1.1.1:0"}},
                          json::Object{{"name", "x"}, {"api", "1.1.1.1:1"}, {"id", "abc"}},
                          json::Object{{"name", "x\x07"}, {"api", "1.1.1.1:1"}},
                          json::Object{{"name", "x"}, {"api", "1.1.1.1:1"}, {"priority", -1}},
                          json::Object{{"name", 5}, {"api", "1.1.1.1:1"}}})
    EXPECT_FALSE(provider_from_json(bad));
}

ProviderCandidate candidate(const std::string& name, const std::string& id, const char* api,
                            const char* source = "dns", int hop_ttl = 0) {
  ProviderCandidate made;
  made.name = name;
  if (!id.empty()) made.id = *PublicKey::from_id(id);
  made.api = *Endpoint::parse(api);
  made.source = source;
  made.hop_ttl = hop_ttl;
  made.hop_rtt_us = hop_ttl * 1000;
  return made;
}

TEST(MergeProviders, SameIdIsOneProvider) {
  std::vector<ProviderCandidate> providers{
      candidate("mine", an_id(), "198.51.100.1:1", "configured"),
      candidate("edge.example", an_id(), "198.51.100.1:1", "dns", 4),
      candidate("edge.example", an_id(), "198.51.100.2:1", "dns", 6),
      candidate("other.example", other_id(), "198.51.100.3:1")};
  providers[1].location = "here";
  std::vector<Rejection> rejected;
  merge_providers(providers, rejected);
  ASSERT_THAT(providers, SizeIs(2));
  EXPECT_EQ(providers[0].name, "mine");
  EXPECT_EQ(providers[0].source, "configured");
  EXPECT_EQ(providers[0].location, "here");
  EXPECT_EQ(providers[0].hop_ttl, 6);
  EXPECT_EQ(providers[0].hop_rtt_us, 6000);
  EXPECT_THAT(providers[0].other_apis, ElementsAre(*Endpoint::parse("198.51.100.2:1")));
  EXPECT_THAT(rejected, IsEmpty());
}

TEST(MergeProviders, WithoutIdTheAddressDecides) {
  std::vector<ProviderCandidate> providers{candidate("mine", "", "198.51.100.1:1", "configured"),
                                           candidate("edge.example", an_id(), "198.51.100.1:1")};
  std::vector<Rejection> rejected;
  merge_providers(providers, rejected);
  ASSERT_THAT(providers, SizeIs(1));
  EXPECT_EQ(providers[0].id->id(), an_id());
}

TEST(MergeProviders, NobodyTakesAConfiguredAddressUnderAnotherKey) {
  std::vector<ProviderCandidate> providers{
      candidate("mine", an_id(), "198.51.100.1:1", "configured"),
      candidate("thief.example", other_id(), "198.51.100.1:1")};
  std::vector<Rejection> rejected;
  merge_providers(providers, rejected);
  EXPECT_THAT(providers, SizeIs(1));
  ASSERT_THAT(rejected, SizeIs(1));
  EXPECT_THAT(rejected[0].subject, HasSubstr("thief.example"));
  EXPECT_THAT(rejected[0].reason, HasSubstr("another id"));
}

TEST(MergeProviders, OtherAddressesAreLimited) {
  std::vector<ProviderCandidate> providers;
  for (int i = 1; i <= 100; ++i)
    providers.push_back(
        candidate("e", an_id(), ("198.51.100." + std::to_string(i) + ":1").c_str()));
  std::vector<Rejection> rejected;
  merge_providers(providers, rejected);
  ASSERT_THAT(providers, SizeIs(1));
  EXPECT_THAT(providers[0].other_apis, SizeIs(kOtherApisMax));
}

}  // namespace
}  // namespace icon::discovery
