#include <gtest/gtest.h>

#include "base/http_server.h"
#include "base/http_text.h"

namespace icon::http {
namespace {

Handler nothing() {
  return [](Request) -> Task<Response> { co_return Response{}; };
}

TEST(Router, FindsByMethodAndPath) {
  Router router;
  router.on("GET", "/v1/icons", nothing());
  router.on("POST", "/v1/icons", nothing());
  router.on("GET", "/v1/icons/{id}/logs", nothing());
  EXPECT_NE(router.find("GET", "/v1/icons").handler, nullptr);
  const auto match = router.find("GET", "/v1/icons/redis/logs");
  ASSERT_NE(match.handler, nullptr);
  EXPECT_EQ(match.params.at("id"), "redis");
  EXPECT_EQ(router.find("GET", "/v1/icons/redis").handler, nullptr);
  EXPECT_FALSE(router.find("GET", "/v1/icons/redis").path_known);
  EXPECT_TRUE(router.find("DELETE", "/v1/icons").path_known);
}

TEST(Router, LiteralBeatsParameter) {
  Router router;
  router.on_stream("GET", "/v1/{anything}", [](Request, LineWriter&) -> Task<void> { co_return; });
  router.on("GET", "/v1/status", nothing());
  EXPECT_NE(router.find("GET", "/v1/status").handler, nullptr);
  EXPECT_NE(router.find("GET", "/v1/other").stream, nullptr);
  EXPECT_EQ(router.find("GET", "/v1/").stream, nullptr);
}

TEST(Router, EscapedSlashSeparatesNothing) {
  Router router;
  router.on("GET", "/v1/icons/{id}", nothing());
  EXPECT_EQ(router.find("GET", "/v1/icons/a%2Fb").params.at("id"), "a/b");
  EXPECT_EQ(router.find("GET", "/v1/icons/a%2").handler, nullptr);
  EXPECT_EQ(router.find("GET", "/v1/icons/a%00").handler, nullptr);
}

TEST(HttpText, PercentDecode) {
  EXPECT_EQ(percent_decode("a%20b+c", true), "a b c");
  EXPECT_EQ(percent_decode("a+b", false), "a+b");
  EXPECT_EQ(percent_decode("%zz", false), std::nullopt);
  EXPECT_EQ(percent_decode("%4", false), std::nullopt);
  EXPECT_EQ(percent_decode(std::string_view("a\nb"), false), std::nullopt);
}

TEST(HttpText, ParseQuery) {
  const auto query = parse_query("follow=1&source=a%20b&&flag&x=1&x=2");
  ASSERT_TRUE(query);
  EXPECT_EQ(query->at("follow"), "1");
  EXPECT_EQ(query->at("source"), "a b");
  EXPECT_EQ(query->at("flag"), "");
  EXPECT_EQ(query->at("x"), "2");
  std::string many;
  for (std::size_t i = 0; i <= kQueryParametersMax; ++i) many += "k" + std::to_string(i) + "=1&";
  EXPECT_FALSE(parse_query(many));
}

}  // namespace
}  // namespace icon::http
