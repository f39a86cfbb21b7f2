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

constexpr UtcMillis kNow = 1'800'000'000'000;
constexpr UtcMillis kUntil = kNow + kDnsMarkLife.count();

std::string mark(std::string_view owner, const Address& address, UtcMillis until_ms = kUntil) {
  return dns_mark(owner, address, until_ms);
}
DnsPlan plan(const DnsSeen& seen, const std::vector<Address>& want) {
  return plan_dns(seen, "me", want, kNow);
}

TEST(DnsPlan, AddsWithAMarkAndTakesAwayWithIt) {
  const auto first = plan({}, {kA, kSix});
  EXPECT_THAT(first.add, ElementsAre(kA, kSix));
  EXPECT_THAT(first.add_marks, ElementsAre("v=icon1 id=me a=192.0.2.1 until=1800007200000",
                                           "v=icon1 id=me a=2001:db8::1 until=1800007200000"));
  EXPECT_TRUE(first.remove.empty());

  const DnsSeen now{{kA, kSix}, first.add_marks};
  EXPECT_TRUE(plan(now, {kA, kSix}).empty());
  const auto second = plan(now, {kB, kSix});
  EXPECT_THAT(second.add, ElementsAre(kB));
  EXPECT_THAT(second.remove, ElementsAre(kA));
  EXPECT_THAT(second.remove_marks, ElementsAre(mark("me", kA)));
  // Taken out by hand, it comes again; and what is gone already is only unmarked.
  EXPECT_THAT(plan({{}, {mark("me", kA)}}, {kA}).add, ElementsAre(kA));
  const auto gone = plan({{}, {mark("me", kA)}}, {});
  EXPECT_TRUE(gone.remove.empty());
  EXPECT_THAT(gone.remove_marks, ElementsAre(mark("me", kA)));
}

TEST(DnsPlan, WhatIsNotItsOwnStays) {
  // By hand: wanted, used, and left there.
  const DnsSeen by_hand{{kA, kB}, {"v=spf1 -all", "v=icon1 nonsense"}};
  const auto used = plan(by_hand, {kA});
  EXPECT_TRUE(used.empty());
  EXPECT_THAT(used.foreign, ElementsAre(kA));
  EXPECT_TRUE(plan(by_hand, {}).empty());
  // Two ICONs at one host: it stays as long as either is there.
  const DnsSeen shared{{kA}, {mark("me", kA), mark("you", kA)}};
  const auto left = plan(shared, {});
  EXPECT_TRUE(left.remove.empty());
  EXPECT_THAT(left.remove_marks, ElementsAre(mark("me", kA)));
  const auto joined = plan({{kA}, {mark("you", kA)}}, {kA});
  EXPECT_TRUE(joined.add.empty());
  EXPECT_THAT(joined.add_marks, ElementsAre(mark("me", kA)));
  // Of an id that only begins like ours.
  EXPECT_TRUE(plan({{kA}, {mark("me2", kA)}}, {}).empty());
}

TEST(DnsPlan, AMarkIsRenewedWhenHalfItsLifeIsOver) {
  const auto half = kNow + kDnsMarkLife.count() / 2;
  EXPECT_TRUE(plan({{kA}, {mark("me", kA, half)}}, {kA}).empty());
  const auto renewed = plan({{kA}, {mark("me", kA, half - 1)}}, {kA});
  EXPECT_TRUE(renewed.add.empty() && renewed.remove.empty());
  EXPECT_THAT(renewed.remove_marks, ElementsAre(mark("me", kA, half - 1)));
  EXPECT_THAT(renewed.add_marks, ElementsAre(mark("me", kA)));
  // Its own that are too many go, and the address does not.
  const auto twice = plan({{kA}, {mark("me", kA, half), mark("me", kA)}}, {kA});
  EXPECT_TRUE(twice.remove.empty() && twice.add_marks.empty());
  EXPECT_THAT(twice.remove_marks, ElementsAre(mark("me", kA)));
}

TEST(DnsPlan, WhoHasNotRenewedHisMarkIsDead) {
  const auto dead = kNow - kDnsMarkGrace.count() - 1;
  const auto heir = plan({{kA, kB}, {mark("you", kA, dead), mark("me", kB)}}, {kB});
  EXPECT_THAT(heir.remove, ElementsAre(kA));
  EXPECT_THAT(heir.remove_marks, ElementsAre(mark("you", kA, dead)));
  // A clock may be wrong.
  EXPECT_TRUE(plan({{kA}, {mark("you", kA, dead + 1)}}, {}).empty());
  // Somebody living is there, too; or we are, and take it over.
  const auto shared = plan({{kA}, {mark("you", kA, dead), mark("they", kA)}}, {});
  EXPECT_TRUE(shared.remove.empty());
  EXPECT_THAT(shared.remove_marks, ElementsAre(mark("you", kA, dead)));
  const auto taken = plan({{kA}, {mark("you", kA, dead)}}, {kA});
  EXPECT_TRUE(taken.remove.empty() && taken.add.empty() && taken.foreign.empty());
  EXPECT_THAT(taken.add_marks, ElementsAre(mark("me", kA)));
  EXPECT_THAT(taken.remove_marks, ElementsAre(mark("you", kA, dead)));
  // One without an end, and what only looks like one.
  for (const char* text :
       {"v=icon1 id=you a=192.0.2.1", "v=icon1 id=you a=192.0.2.1 until=-1",
        "v=icon1 id=you a=192.0.2.1 until=1x", "v=icon1 id=you a=192.0.2.1 until=1 2",
        "v=icon1 id=you a=192.0.2.1 until=", "v=icon12 id=you a=192.0.2.1 until=1"})
    EXPECT_TRUE(plan({{kA}, {text}}, {}).empty()) << text;
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
  const DnsRequest request{*Endpoint::parse("192.0.2.53:53"),
                           "example",
                           "www.example",
                           "/k",
                           30,
                           "me",
                           {kA, kSix},
                           kNow};
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
