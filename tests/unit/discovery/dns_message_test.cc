#include "discovery/dns_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/discovery/dns_builder.h"

namespace icon::discovery {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::string_view kName = "www.example";

Result<Answer> parse(DnsBuilder& builder, std::string_view name, RecordType type) {
  return parse_answer(builder.bytes(), name, type);
}

TEST(NormaliseName, LowersAndDropsTheLastDot) {
  EXPECT_EQ(*normalise_name("Ae1.R2.ISP.example."), "ae1.r2.isp.example");
  EXPECT_EQ(*normalise_name("_icon._tcp.a-b.example"), "_icon._tcp.a-b.example");
  EXPECT_EQ(*normalise_name(std::string(63, 'a') + ".b"), std::string(63, 'a') + ".b");
}

TEST(NormaliseName, RefusesWhatIsNoHostName) {
  for (const std::string& bad :
       {std::string(), std::string("."), std::string("a..b"), std::string(".a"), std::string("a b"),
        std::string("a\0b", 3), std::string("a\\046b"), std::string("é.fr"), std::string(64, 'a'),
        std::string("x;y"), std::string("a..")})
    EXPECT_FALSE(normalise_name(bad)) << bad;
  std::string long_name;
  for (int i = 0; i < 127; ++i) long_name += "a.";
  EXPECT_TRUE(normalise_name(long_name));
  EXPECT_FALSE(normalise_name(long_name + "aa"));
}

TEST(ReverseName, BothFamilies) {
  EXPECT_EQ(reverse_name(*Address::parse("192.0.2.1")), "1.2.0.192.in-addr.arpa");
  EXPECT_EQ(reverse_name(*Address::parse("2001:db8::567:89ab")),
            "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

TEST(ParseAnswer, Addresses) {
  DnsBuilder builder(kName, RecordType::kA);
  builder.a("", "192.0.2.1", 100).a("WWW.Example", "192.0.2.2", 50).a("other.example", "1.1.1.1");
  const auto answer = parse(builder, kName, RecordType::kA);
  ASSERT_TRUE(answer);
  EXPECT_THAT(answer->addresses,
              ElementsAre(*Address::parse("192.0.2.1"), *Address::parse("192.0.2.2")));
  EXPECT_EQ(answer->ttl_s, 50u);
  EXPECT_THAT(answer->cut, IsEmpty());
}

TEST(ParseAnswer, MappedAddressIsJudgedAsIpv4) {
  DnsBuilder builder(kName, RecordType::kAaaa);
  Bytes mapped(16, 0);
  mapped[10] = mapped[11] = 0xff;
  mapped[12] = 127;
  mapped[15] = 1;
  builder.record("", 28, 300, mapped);
  const auto answer = parse(builder, kName, RecordType::kAaaa);
  ASSERT_TRUE(answer);
  ASSERT_THAT(answer->addresses, SizeIs(1));
  EXPECT_TRUE(answer->addresses[0].is_v4());
  EXPECT_TRUE(answer->addresses[0].is_non_public());
}

TEST(ParseAnswer, SrvPtrAndTxt) {
  DnsBuilder srv("_icon._tcp.example", RecordType::kSrv);
  srv.srv("", 10, 60, 7946, "Edge.Example").srv("", 0, 0, 0, "");
  EXPECT_THAT(parse(srv, "_icon._tcp.example", RecordType::kSrv)->srv,
              ElementsAre(SrvRecord{10, 60, 7946, "edge.example"}, SrvRecord{0, 0, 0, ""}));

  DnsBuilder ptr("1.2.0.192.in-addr.arpa", RecordType::kPtr);
  ptr.record("", 12, 300, DnsBuilder::name_data("R1.isp.example"));
  EXPECT_THAT(parse(ptr, "1.2.0.192.in-addr.arpa", RecordType::kPtr)->names,
              ElementsAre("r1.isp.example"));

  DnsBuilder txt(kName, RecordType::kTxt);
  txt.txt("", {"v=icon1", "id=x"}).txt("", {""}).txt("", {"v=spf1 -all"});
  EXPECT_THAT(parse(txt, kName, RecordType::kTxt)->texts,
              ElementsAre("v=icon1 id=x", "", "v=spf1 -all"));
}

TEST(ParseAnswer, FollowsAliasesInAnyOrder) {
  DnsBuilder builder(kName, RecordType::kA);
  builder.a("c.example", "192.0.2.9", 500).cname("b.example", "c.example", 20);
  builder.cname("", "b.example", 100).a("", "203.0.113.1");
  const auto answer = parse(builder, kName, RecordType::kA);
  ASSERT_TRUE(answer);
  EXPECT_THAT(answer->addresses, ElementsAre(*Address::parse("192.0.2.9")));
  EXPECT_EQ(answer->ttl_s, 20u);
}

TEST(ParseAnswer, AliasLoopsAndLongChainsEnd) {
  DnsBuilder loop(kName, RecordType::kA);
  loop.cname("", "b.example").cname("b.example", kName);
  auto answer = parse(loop, kName, RecordType::kA);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->empty());
  EXPECT_THAT(answer->cut, ElementsAre(HasSubstr("aliases")));

  for (const int length : {kCnameDepthMax, kCnameDepthMax + 1}) {
    DnsBuilder chain(kName, RecordType::kA);
    std::string owner(kName);
    for (int i = 0; i < length; ++i) {
      const std::string next = "n" + std::to_string(i) + ".example";
      chain.cname(owner, next);
      owner = next;
    }
    chain.a(owner, "192.0.2.1");
    answer = parse(chain, kName, RecordType::kA);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->addresses.size(), length <= kCnameDepthMax ? 1u : 0u) << length;
  }
}

TEST(ParseAnswer, NothingIsAnAnswerWithTheLifetimeOfTheSoa) {
  for (const unsigned code : {0u, 3u}) {
    DnsBuilder builder(kName, RecordType::kA, code);
    builder.soa(900, 60);
    const auto answer = parse(builder, kName, RecordType::kA);
    ASSERT_TRUE(answer);
    EXPECT_TRUE(answer->empty());
    EXPECT_EQ(answer->ttl_s, 60u);
  }
}

TEST(ParseAnswer, FailuresOfTheServer) {
  DnsBuilder failure(kName, RecordType::kA, 2);
  EXPECT_EQ(parse(failure, kName, RecordType::kA).error().code, Code::kIo);
  DnsBuilder refused(kName, RecordType::kA, 5);
  EXPECT_EQ(parse(refused, kName, RecordType::kA).error().code, Code::kRefused);
}

TEST(ParseAnswer, AnswersToOtherQuestions) {
  DnsBuilder builder(kName, RecordType::kA);
  builder.a("", "192.0.2.1");
  EXPECT_EQ(parse(builder, "other.example", RecordType::kA).error().code, Code::kInvalid);
  EXPECT_EQ(parse(builder, kName, RecordType::kAaaa).error().code, Code::kInvalid);
  Bytes query = builder.bytes();
  query[2] &= 0x7f;
  EXPECT_EQ(parse_answer(query, kName, RecordType::kA).error().code, Code::kInvalid);
  // One label with a dot in it is not two labels.
  DnsBuilder dotted("wwwxexample", RecordType::kA);
  dotted.bytes()[12 + 4] = '.';
  EXPECT_EQ(parse(dotted, kName, RecordType::kA).error().code, Code::kInvalid);
}

TEST(ParseAnswer, PointersThatLoopOrPointForward) {
  for (const unsigned target : {12u + 13 + 4, 200u, 0x3fffu}) {
    DnsBuilder builder(kName, RecordType::kPtr);
    Bytes data;
    put_u16(data, 0xc000 | target);
    builder.record("", 12, 300, data);
    EXPECT_EQ(parse(builder, kName, RecordType::kPtr).error().code, Code::kInvalid) << target;
  }
  // The record's own data pointing at itself.
  DnsBuilder builder(kName, RecordType::kPtr);
  const auto self = static_cast<unsigned>(builder.bytes().size() + 12);
  Bytes data;
  put_u16(data, 0xc000 | self);
  builder.record("", 12, 300, data);
  EXPECT_EQ(parse(builder, kName, RecordType::kPtr).error().code, Code::kInvalid);
}

TEST(ParseAnswer, CountsAndSizesAreCutAndSaid) {
  DnsBuilder srv(kName, RecordType::kSrv);
  for (unsigned i = 0; i < 1000; ++i) srv.srv("", 1, 1, 1, "t" + std::to_string(i) + ".example");
  const auto many = parse(srv, kName, RecordType::kSrv);
  ASSERT_TRUE(many);
  EXPECT_THAT(many->srv, SizeIs(kSrvRecordsMax));
  EXPECT_THAT(many->cut, ElementsAre(HasSubstr("SRV")));

  DnsBuilder txt(kName, RecordType::kTxt);
  std::vector<std::string> strings(250, std::string(255, 'x'));
  txt.txt("", {"v=icon1"}).txt("", strings);
  EXPECT_GT(txt.bytes().size(), 63'000u);
  const auto large = parse(txt, kName, RecordType::kTxt);
  ASSERT_TRUE(large);
  EXPECT_THAT(large->texts, ElementsAre("v=icon1"));
  EXPECT_THAT(large->cut, ElementsAre(HasSubstr("TXT")));

  DnsBuilder a(kName, RecordType::kA);
  for (int i = 0; i < 100; ++i) a.a("", "192.0.2.1");
  EXPECT_THAT(parse(a, kName, RecordType::kA)->addresses, SizeIs(kAddressRecordsMax));
  DnsBuilder ptr(kName, RecordType::kPtr);
  for (int i = 0; i < 100; ++i) ptr.record("", 12, 1, DnsBuilder::name_data("r.example"));
  EXPECT_THAT(parse(ptr, kName, RecordType::kPtr)->names, SizeIs(kPtrRecordsMax));
}

TEST(ParseAnswer, OddNamesAndTimes) {
  DnsBuilder ptr(kName, RecordType::kPtr);
  ptr.record("", 12, 0x80000001, DnsBuilder::name_data("a\x1b[2Jb.example"));
  ptr.record("", 12, 0x80000001, DnsBuilder::name_data("good.example"));
  const auto answer = parse(ptr, kName, RecordType::kPtr);
  ASSERT_TRUE(answer);
  EXPECT_THAT(answer->names, ElementsAre("good.example"));
  EXPECT_THAT(answer->cut, SizeIs(1));
  EXPECT_EQ(answer->ttl_s, 0u);
}

TEST(ParseAnswer, RecordsOfTheWrongSize) {
  for (const std::size_t bytes : {0u, 3u, 5u, 16u}) {
    DnsBuilder builder(kName, RecordType::kA);
    builder.record("", 1, 300, Bytes(bytes, 1));
    EXPECT_FALSE(parse(builder, kName, RecordType::kA)) << bytes;
  }
  DnsBuilder srv(kName, RecordType::kSrv);
  srv.record("", 33, 300, Bytes(5, 0));
  EXPECT_FALSE(parse(srv, kName, RecordType::kSrv));
  DnsBuilder txt(kName, RecordType::kTxt);
  txt.record("", 16, 300, Bytes{200, 'a', 'b'});
  EXPECT_FALSE(parse(txt, kName, RecordType::kTxt));
  // A name that runs out of its record must not borrow from the next one.
  DnsBuilder ptr(kName, RecordType::kPtr);
  ptr.record("", 12, 300, Bytes{7, 'a', 'b'});
  ptr.record("", 12, 300, DnsBuilder::name_data("x.example"));
  EXPECT_FALSE(parse(ptr, kName, RecordType::kPtr));
}

TEST(ParseAnswer, EveryTruncationAndManyMutationsAreSurvived) {
  DnsBuilder builder("_icon._tcp.example", RecordType::kSrv);
  builder.cname("", "x.example").srv("x.example", 1, 2, 3, "y.example").soa(1, 2);
  const Bytes whole = builder.bytes();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    (void)parse_answer(part, "_icon._tcp.example", RecordType::kSrv);
  }
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 20'000; ++round) {
    Bytes mutated = whole;
    for (unsigned change = 0; change < 1 + random() % 6; ++change)
      mutated[random() % mutated.size()] = static_cast<std::uint8_t>(random());
    const auto answer = parse_answer(mutated, "_icon._tcp.example", RecordType::kSrv);
    if (!answer) continue;
    for (const auto& record : answer->srv)
      EXPECT_TRUE(record.target.empty() || normalise_name(record.target)) << record.target;
  }
}

}  // namespace
}  // namespace icon::discovery
