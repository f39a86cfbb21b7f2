#include "lab/load_protocol.h"

#include <gtest/gtest.h>

namespace icon::lab {
namespace {

std::unique_ptr<LoadProtocol> protocol(const std::string& name) {
  auto made = make_protocol({.name = name, .tag = "t", .connection = 7, .http_path = "/a"});
  EXPECT_TRUE(made.has_value());
  return std::move(*made);
}

// Every proper beginning of `wire` needs more bytes; the whole gives `content`.
void expect_whole(const LoadProtocol& protocol, const std::string& wire,
                  const std::string& content) {
  for (std::size_t size = 0; size < wire.size(); ++size) {
    const auto reply = protocol.parse(std::string_view(wire).substr(0, size));
    ASSERT_TRUE(reply.has_value()) << "after " << size << " bytes: " << reply.error().message;
    EXPECT_FALSE(reply->has_value()) << "after " << size << " bytes";
  }
  const auto reply = protocol.parse(wire + "more");
  ASSERT_TRUE(reply.has_value()) << reply.error().message;
  ASSERT_TRUE(reply->has_value());
  EXPECT_EQ((*reply)->bytes, wire.size());
  EXPECT_EQ((*reply)->content, content);
}

Code parse_error(const LoadProtocol& protocol, const std::string& wire) {
  const auto reply = protocol.parse(wire);
  return reply ? Code::kInternal : reply.error().code;
}

TEST(RedisProtocol, TurnsOfThreeWithKnownAnswers) {
  const auto redis = protocol("redis");
  EXPECT_EQ(redis->exchange(0).request, "*2\r\n$4\r\nINCR\r\n$10\r\nload:t:7:n\r\n");
  EXPECT_EQ(redis->exchange(0).reply, ":1");
  EXPECT_EQ(redis->exchange(1).reply, "+OK");
  EXPECT_EQ(redis->exchange(2).reply, "$7-0");
  EXPECT_EQ(redis->exchange(3).reply, ":2");
  EXPECT_EQ(redis->exchange(5).reply, "$7-1");
}

TEST(RedisProtocol, ReadsReplies) {
  const auto redis = protocol("redis");
  expect_whole(*redis, ":42\r\n", ":42");
  expect_whole(*redis, "+OK\r\n", "+OK");
  expect_whole(*redis, "-LOADING dataset\r\n", "-LOADING dataset");
  expect_whole(*redis, "$5\r\na\r\nbc\r\n", "$a\r\nbc");
  expect_whole(*redis, "$-1\r\n", "$nil");
}

TEST(RedisProtocol, RefusesWhatIsNoReply) {
  const auto redis = protocol("redis");
  EXPECT_EQ(parse_error(*redis, "HTTP/1.1 200 OK\r\n"), Code::kInvalid);
  EXPECT_EQ(parse_error(*redis, "\r\n"), Code::kInvalid);
  EXPECT_EQ(parse_error(*redis, "$abc\r\n"), Code::kInvalid);
  EXPECT_EQ(parse_error(*redis, "$-2\r\n"), Code::kInvalid);
  EXPECT_EQ(parse_error(*redis, "$1\r\nabc"), Code::kInvalid);
  EXPECT_EQ(parse_error(*redis, "$99999999999\r\n"), Code::kLimit);
  EXPECT_EQ(parse_error(*redis, ":" + std::string(100'000, '1')), Code::kLimit);
}

TEST(MemcachedProtocol, CountsFromZero) {
  const auto memcached = protocol("memcached");
  EXPECT_EQ(memcached->exchange(0).request, "set load:t:7:n 0 0 1\r\n0\r\n");
  EXPECT_EQ(memcached->exchange(1).reply, "1");
  EXPECT_EQ(memcached->exchange(3).reply, "VALUE 7-0");
  EXPECT_EQ(memcached->exchange(4).reply, "2");
  expect_whole(*memcached, "STORED\r\n", "STORED");
  expect_whole(*memcached, "VALUE load:t:7:v 0 3\r\n7-0\r\nEND\r\n", "VALUE 7-0");
  EXPECT_EQ(parse_error(*memcached, "VALUE k 0 3\r\n7-0\r\nXXX\r\n"), Code::kInvalid);
}

TEST(HttpProtocol, ComparesStatusAndBody) {
  const auto http = protocol("http");
  EXPECT_EQ(http->exchange(3).request, "GET /a HTTP/1.1\r\nHost: icon.test\r\n\r\n");
  EXPECT_EQ(http->exchange(3).reply, std::nullopt);
  expect_whole(*http, "HTTP/1.1 200 OK\r\nDate: now\r\nCONTENT-Length: 5\r\n\r\nhello",
               "200 hello");
  expect_whole(*http, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "204 ");
  expect_whole(*http,
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
               "5;x=y\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
               "200 hello!");
}

TEST(HttpProtocol, SeesTheAnnouncedEnd) {
  const auto http = protocol("http");
  const auto closes = [&](const std::string& wire) {
    const auto reply = http->parse(wire);
    return reply && *reply && (*reply)->closes;
  };
  EXPECT_FALSE(closes("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
  EXPECT_TRUE(closes("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
  EXPECT_TRUE(closes("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
}

TEST(HttpProtocol, RefusesWhatItCannotCheck) {
  const auto http = protocol("http");
  EXPECT_EQ(parse_error(*http, "+OK this is redis\r\n\r\n"), Code::kInvalid);
  EXPECT_EQ(parse_error(*http, "HTTP/1.1 200 OK\r\n\r\n"), Code::kInvalid);
  EXPECT_EQ(parse_error(*http, "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), Code::kInvalid);
  EXPECT_EQ(parse_error(*http, "HTTP/1.1 200 OK\r\nContent-Length: 1e9\r\n\r\n"), Code::kInvalid);
  EXPECT_EQ(parse_error(*http,
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "7fffffffffffffff\r\n"),
            Code::kLimit);
}

TEST(MakeProtocol, NamesWhatItKnows) {
  const auto made = make_protocol({.name = "gopher"});
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code, Code::kInvalid);
}

}  // namespace
}  // namespace icon::lab
