// What is added to a name and what is taken away, whoever else writes there; and keys.
#include "agent/dns_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace icon::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const Address kA = *Address::parse("192.0.2.1");
const Address kB = *Address::parse("192.0.2.2");
const Address kSix = *Address::parse("2001:db8::1");

TEST(DnsPlan, AddsWithAMarkAndTakesAwayWithIt) {
  const auto first = plan_dns({}, "me", {kA, kSix});
  EXPECT_THAT(first.add, ElementsAre(kA, kSix));
  EXPECT_THAT(first.add_marks,
              ElementsAre("v=icon1 id=me a=192.0.2.1", "v=icon1 id=me a=2001:db8::1"));
  EXPECT_TRUE(first.remove.empty());

  const DnsSeen now{{kA, kSix}, first.add_marks};
  EXPECT_TRUE(plan_dns(now, "me", {kA, kSix}).empty());
  const auto second = plan_dns(now, "me", {kB, kSix});
  EXPECT_THAT(second.add, ElementsAre(kB));
  EXPECT_THAT(second.remove, ElementsAre(kA));
  EXPECT_THAT(second.remove_marks, ElementsAre(dns_mark("me", kA)));
  // Taken out by hand, it comes again; and what is gone already is only unmarked.
  EXPECT_THAT(plan_dns({{}, {dns_mark("me", kA)}}, "me", {kA}).add, ElementsAre(kA));
  const auto gone = plan_dns({{}, {dns_mark("me", kA)}}, "me", {});
  EXPECT_TRUE(gone.remove.empty());
  EXPECT_THAT(gone.remove_marks, ElementsAre(dns_mark("me", kA)));
}

TEST(DnsPlan, WhatIsNotItsOwnStays) {
  // By hand: wanted, used, and left there.
  const DnsSeen by_hand{{kA, kB}, {"v=spf1 -all", "v=icon1 nonsense"}};
  const auto plan = plan_dns(by_hand, "me", {kA});
  EXPECT_TRUE(plan.empty());
  EXPECT_THAT(plan.foreign, ElementsAre(kA));
  EXPECT_TRUE(plan_dns(by_hand, "me", {}).empty());
  // Two ICONs at one host: it stays as long as either is there.
  const DnsSeen shared{{kA}, {dns_mark("me", kA), dns_mark("you", kA)}};
  const auto left = plan_dns(shared, "me", {});
  EXPECT_TRUE(left.remove.empty());
  EXPECT_THAT(left.remove_marks, ElementsAre(dns_mark("me", kA)));
  const auto joined = plan_dns({{kA}, {dns_mark("you", kA)}}, "me", {kA});
  EXPECT_TRUE(joined.add.empty());
  EXPECT_THAT(joined.add_marks, ElementsAre(dns_mark("me", kA)));
  // Of an id that only begins like ours.
  EXPECT_TRUE(plan_dns({{kA}, {dns_mark("me2", kA)}}, "me", {}).empty());
}

TEST(DnsPlan, KeysAsKdigTakesThem) {
  const auto plain = parse_tsig_key("icon.example:c2VjcmV0\n");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->algorithm, "hmac-sha256.");
  EXPECT_EQ(plain->name, "icon.example.");
  EXPECT_EQ(plain->secret, "c2VjcmV0");
  const auto whole = parse_tsig_key("# made by keymgr\n\nhmac-sha512:icon.:c2VjcmU=\r\n");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->algorithm, "hmac-sha512.");
  EXPECT_EQ(whole->name, "icon.");
  for (const char* wrong :
       {"", "c2VjcmV0", "hmac-md5:icon:c2VjcmV0", "icon:c2Vj cmV0", "icon:c2VjcmV", ":c2VjcmV0",
        "i!:c2VjcmV0", "a:c2VjcmV0\nb:c2VjcmV0", "icon:", "icon:===="}) {
    const auto key = parse_tsig_key(wrong);
    ASSERT_FALSE(key) << wrong;
    EXPECT_THAT(key.error().message, Not(HasSubstr("c2V")));
  }
}

TEST(DnsPlan, RequestsAndOutcomesSurviveTheirFiles) {
  const DnsRequest request{
      *Endpoint::parse("192.0.2.53:53"), "example", "www.example", "/k", 30, "me", {kA, kSix}};
  const auto read = DnsRequest::from_json(request.to_json());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->to_json(), request.to_json());
  auto outside = request.to_json();
  outside["name"] = "www.elsewhere";
  EXPECT_FALSE(DnsRequest::from_json(outside));
  DnsOutcome outcome{"badkey", "no", {kA}, {kB}, {kSix}};
  const auto again = DnsOutcome::from_json(outcome.to_json());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->to_json(), outcome.to_json());
  EXPECT_TRUE(is_within("www.example", "Example"));
  EXPECT_FALSE(is_within("wwwexample", "example"));
}

}  // namespace
}  // namespace icon::agent
