#include "stub/answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace icon::stub {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr UtcMillis kNow = 1'700'000'000'000;
const Route kRoute{"abc", 80, "198.51.100.7", 8080, kNow + 3'600'000};

std::string request(const std::string& line, const std::string& fields = "Host: a\r\n") {
  return line + "\r\n" + fields + "\r\n";
}

Answer ask(const std::string& bytes, const Route* route = &kRoute) {
  const auto outcome = parse_head(bytes);
  EXPECT_EQ(outcome.parsed, Parsed::kComplete) << bytes;
  return answer(outcome.head, route, kNow, false);
}

TEST(Answer, RedirectsWithPathAndQuery) {
  const auto reply = ask(request("GET /a%20b/c?x=1&y=%7e HTTP/1.1"));
  EXPECT_EQ(reply.status, 307);
  EXPECT_FALSE(reply.close);
  EXPECT_THAT(reply.bytes, StartsWith("HTTP/1.1 307 Temporary Redirect\r\n"));
  EXPECT_THAT(reply.bytes,
              HasSubstr("\r\nLocation: http://198.51.100.7:8080/a%20b/c?x=1&y=%7e\r\n"));
  EXPECT_THAT(reply.bytes, HasSubstr("\r\nCache-Control: max-age=300\r\n"));
  EXPECT_THAT(reply.bytes, HasSubstr("\r\nAlt-Svc: http%2F1.1=\"198.51.100.7:8080\"; ma=300\r\n"));
  EXPECT_THAT(reply.bytes, HasSubstr("\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n"));
}

TEST(Answer, IsNeverRememberedBeyondTheLease) {
  Route route = kRoute;
  route.expires_ms = kNow + 12'999;
  const auto reply = ask(request("GET / HTTP/1.1"), &route);
  EXPECT_THAT(reply.bytes, HasSubstr("max-age=12\r\n"));
  EXPECT_THAT(reply.bytes, HasSubstr("; ma=12\r\n"));
}

TEST(Answer, PutsIpv6InBrackets) {
  Route route = kRoute;
  route.host = "2001:db8::1";
  EXPECT_THAT(ask(request("GET / HTTP/1.1"), &route).bytes,
              HasSubstr("Location: http://[2001:db8::1]:8080/\r\n"));
}

TEST(Answer, HeadHasNoBody) {
  const auto reply = ask(request("HEAD / HTTP/1.1"));
  EXPECT_EQ(reply.status, 307);
  EXPECT_TRUE(reply.bytes.ends_with("\r\n\r\n"));
}

TEST(Answer, PostWithABodyIsRedirectedUnreadAndCloses) {
  for (const char* body : {"Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"}) {
    const auto reply = ask(request("POST /form HTTP/1.1", std::string("Host: a\r\n") + body));
    EXPECT_EQ(reply.status, 307);
    EXPECT_TRUE(reply.close);
    EXPECT_THAT(reply.bytes, HasSubstr("Connection: close\r\n"));
  }
}

TEST(Answer, FollowsTheClientsWishAboutTheConnection) {
  EXPECT_TRUE(ask(request("GET / HTTP/1.1", "Host: a\r\nConnection: close\r\n")).close);
  EXPECT_TRUE(ask(request("GET / HTTP/1.0", "")).close);
  EXPECT_FALSE(ask(request("GET / HTTP/1.1")).close);
}

TEST(Answer, AsksToRetryWhenTheTargetIsUnknown) {
  Route unknown = kRoute;
  unknown.host.clear();
  unknown.port = 0;
  for (const Route* route : {static_cast<const Route*>(nullptr), &std::as_const(unknown)}) {
    const auto reply = ask(request("GET / HTTP/1.1"), route);
    EXPECT_EQ(reply.status, 503);
    EXPECT_EQ(reply.kind, AnswerKind::kUnavailable);
    EXPECT_THAT(reply.bytes, HasSubstr("\r\nRetry-After: 1\r\n"));
    EXPECT_THAT(reply.bytes, Not(HasSubstr("Location")));
  }
}

TEST(Answer, ReflectsOnlyOriginForm) {
  for (const char* target : {"http://evil.example/", "*", "evil.example:443", "//", "/%", "/%0",
                             "/%zz", "/a\"b", "/a<b>", "/a#b", "/a\\b", "/a{b}"}) {
    const auto bytes = request(std::string("GET ") + target + " HTTP/1.1");
    const auto outcome = parse_head(bytes);
    if (outcome.parsed != Parsed::kComplete) continue;  // not even that
    const auto reply = answer(outcome.head, &kRoute, kNow, false);
    if (std::string_view(target) == "//") {  // harmless behind an explicit authority
      EXPECT_THAT(reply.bytes, HasSubstr("Location: http://198.51.100.7:8080//\r\n"));
      continue;
    }
    EXPECT_EQ(reply.status, 400) << target;
    EXPECT_TRUE(reply.close);
    EXPECT_THAT(reply.bytes, Not(HasSubstr("evil"))) << target;
  }
}

TEST(Answer, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(ask(request("TRACE / HTTP/1.1")).status, 501);
  EXPECT_EQ(ask(request("CONNECT a:443 HTTP/1.1")).status, 501);
  EXPECT_EQ(ask(request("GET /" + std::string(kTargetBytesMax, 'a') + " HTTP/1.1")).status, 414);
  EXPECT_EQ(ask(request("GET / HTTP/1.1", "")).status, 400) << "no Host";
  EXPECT_EQ(ask(request("GET / HTTP/1.1", "Host: a\r\nHost: b\r\n")).status, 400);
}

TEST(ParseHead, WaitsForTheWholeHead) {
  const auto whole = request("GET /index.html HTTP/1.1", "Host: a\r\nUser-Agent: b\r\n");
  for (std::size_t length = 0; length < whole.size(); ++length)
    EXPECT_EQ(parse_head(std::string_view(whole).substr(0, length)).parsed, Parsed::kNeedMore)
        << length;
  const auto with_more = whole + "GET /next";
  const auto outcome = parse_head(with_more);
  ASSERT_EQ(outcome.parsed, Parsed::kComplete);
  EXPECT_EQ(outcome.head_bytes, whole.size());
  EXPECT_EQ(outcome.head.method, "GET");
  EXPECT_EQ(outcome.head.target, "/index.html");
}

TEST(ParseHead, IgnoresOneEmptyLineBefore) {
  const auto bytes = "\r\n" + request("GET / HTTP/1.1");
  const auto outcome = parse_head(bytes);
  ASSERT_EQ(outcome.parsed, Parsed::kComplete);
  EXPECT_EQ(outcome.head.target, "/");
  EXPECT_EQ(parse_head("\r\n\r\n").parsed, Parsed::kNotHttp);
}

TEST(ParseHead, KnowsOtherProtocolsFromTheirFirstBytes) {
  for (const std::string& bytes :
       {std::string("*1\r\n$4\r\nPING\r\n"), std::string("PING\r\n"), std::string("get foo\r\n"),
        std::string("\x16\x03\x01\x02\x00", 5), std::string("\0\0\0", 3), std::string(" GET"),
        std::string("SSH-2.0-x"), std::string("PRI * HTTP/2.0\r\n"),
        std::string("GET / HTTP/0.9\r\n"), std::string("GET /\r\n"),
        std::string("ABCDEFGHIJKLMNOPQRS")})
    EXPECT_EQ(parse_head(bytes).parsed, Parsed::kNotHttp) << bytes;
}

TEST(ParseHead, BoundsTheHead) {
  const std::string endless = "GET / HTTP/1.1\r\nA: " + std::string(kHeadBytesMax, 'a');
  EXPECT_EQ(parse_head(endless).parsed, Parsed::kTooLarge);
  std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i <= kFieldsMax; ++i) many += "A: b\r\n";
  EXPECT_EQ(parse_head(many + "\r\n").parsed, Parsed::kTooLarge);
}

TEST(ParseHead, RefusesSmugglingShapes) {
  for (const char* fields : {"Content-Length: 1\r\nContent-Length: 2\r\n", "Content-Length: -1\r\n",
                             "A b: c\r\n", ": c\r\n", "A\r\n"})
    EXPECT_EQ(parse_head(request("GET / HTTP/1.1", fields)).parsed, Parsed::kNotHttp) << fields;
}

TEST(Rejection, SaysWhenToComeBack) {
  EXPECT_THAT(rejection(429, kNow).bytes, HasSubstr("Retry-After: 1\r\n"));
  EXPECT_TRUE(rejection(431, kNow).close);
}

}  // namespace
}  // namespace icon::stub
