#include <boost/json/serialize.hpp>

#include "cli/path_view.h"
#include "tests/unit/cli/cli_fixture.h"

namespace icon::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr UtcMillis kNow = 1'700'000'000'000;

Address at(const char* text) { return Address::parse(text).value(); }

// Four hops, one silent, one balanced; edge-a on the way, dear refused, edge-b elsewhere.
wire::NetworkMap sample_map() {
  wire::NetworkMap map;
  map.seen_ms = kNow;
  map.traced_ms = kNow - 12'000;
  map.here_name = "far";
  map.objective_us = 20'000;
  map.prefixes_total = 2;
  map.routers = {
      {at("198.51.100.1"), "gw.transit.test", "transit.test", 900, false, {}},
      {at("198.51.100.3"), "ae1.transit.test", "transit.test", 10'000, true, {at("198.51.100.5")}},
      {at("198.51.100.9"), "gw.access-a.test", "access-a.test", 32'000, false, {}}};
  map.providers = {{"edge-a", "aaaa", "access-a.test", "dns", "offered", "", "", 50'000},
                   {"dear", "bbbb", "transit.test", "dns", "rejected", "too_dear", "asks 9", {}},
                   {"edge-b", "cccc", "access-b.test", "dns", "offered", "", "", 40'000}};
  wire::MapPath path;
  path.prefix = Prefix::parse("203.0.113.0/24").value();
  path.connections = 12;
  path.rtt_us = 34'200;
  path.target = at("203.0.113.9");
  path.method = "ping";
  path.reached = true;
  path.target_rtt_us = 33'000;
  path.target_back_hops = 2;
  path.hops = {{0, false, 1}, {1, true, 0}, {-1, false, 0}, {2, false, 7}};
  path.estimates = {
      {1, 1, {}, 0, ""}, {0, 4, 2'100, 80, "on_path"}, {2, 0, 45'000, 30, "via_here"}};
  map.paths.push_back(path);
  wire::MapPath untraced;
  untraced.prefix = Prefix::parse("192.0.2.0/24").value();
  untraced.connections = 1;
  untraced.rtt_us = 5'000;
  map.paths.push_back(untraced);
  return map;
}

PathView view_of(const wire::NetworkMap& map, std::size_t path = 0) {
  return {"redis", "iiii", map, map.paths.at(path), kNow};
}

TEST(PathView, IsDrawnFromHereToTheUsers) {
  const auto map = sample_map();
  EXPECT_EQ(path_text(view_of(map), false),
            "redis to 203.0.113.0/24\n"
            "12 connections, round trip 34.2 ms, objective 20.0 ms\n"
            "traced 12 s ago by ping to 203.0.113.9\n"
            "\n"
            "  [*]     far           redis runs here\n"
            "   |\n"
            "   |   1  198.51.100.1  gw.transit.test     900 us  transit.test\n"
            "   |        +-- dear: rejected: too_dear, asks 9\n"
            "   |   2  198.51.100.3  ae1.transit.test   10.0 ms  transit.test\n"
            "   |        (load-balanced, takes turns with 198.51.100.5)\n"
            "   |        (known from another trace)\n"
            "   |   3  *             silent\n"
            "   |   4  198.51.100.9  gw.access-a.test   32.0 ms  access-a.test\n"
            "   |        (answers come by 7 hops: the way back is another one)\n"
            "   |        +-- edge-a: 0.05 credits; users at 2.10 ms, 32.1 ms nearer, confidence "
            "80 % (by the path)\n"
            "   |\n"
            "  [*]     203.0.113.9   users              34.2 ms\n"
            "   |        (answers come by 2 hops: the way back is another one)\n"
            "\n"
            "Not on this path:\n"
            "  edge-b: 0.04 credits; users at 45.0 ms, 10.8 ms farther, confidence 30 % (no better "
            "than by way of here)\n");
}

TEST(PathView, WhatIsNotKnownIsNotInvented) {
  auto map = sample_map();
  EXPECT_THAT(path_text(view_of(map, 1), false),
              AllOf(HasSubstr("not traced: these users are near enough\n"), HasSubstr("   ?\n"),
                    Not(HasSubstr("198.51.100"))));
  map.paths[0].reached = false;
  map.paths[0].note = "silent after hop 4";
  EXPECT_THAT(path_text(view_of(map), false),
              AllOf(HasSubstr("which does not answer itself (silent after hop 4)"),
                    HasSubstr("   ?\n"), Not(HasSubstr("by 2 hops"))));
}

// Zones and providers say what they like.
wire::NetworkMap hostile_map() {
  auto map = sample_map();
  map.routers[0].name = "\"];evil[label=\"x</text><script>&#10;\\N";
  map.routers[0].domain = "a\x1b[2J\nb";
  map.routers[2].name = std::string(240, 'x') + ".access-a.test";
  map.providers[0].name =
      "<b>'\"\xe2\x80\xaetset\xc2\x9b"
      "5m";
  map.providers[1].message = std::string(400, 'm');
  map.here_name = "</title>\r\n\"";
  return map;
}

TEST(PathView, HostileNamesCannotReachTheTerminal) {
  const auto map = hostile_map();
  const auto text = path_text(view_of(map), false);
  for (const char c : text) EXPECT_TRUE(c == '\n' || (c >= ' ' && c <= '~')) << static_cast<int>(c);
  EXPECT_THAT(text, AllOf(HasSubstr("a?[2J?b"), HasSubstr("<b>'\"?tset?5m:"), HasSubstr("...xxx"),
                          HasSubstr("xx.access-a.test ")));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LT(line.size(), 260u);
}

TEST(PathView, DotKeepsStrangersInsideTheirQuotes) {
  const auto map = hostile_map();
  const auto dot = path_dot(view_of(map));
  EXPECT_THAT(dot, AllOf(HasSubstr("digraph \"redis to 203.0.113.0/24\" {"),
                         HasSubstr("\\\"];evil[label=\\\"x"), HasSubstr("&amp;#10;\\\\N"),
                         HasSubstr("s2 -> s3"), HasSubstr("b2_0 -> s3"),
                         HasSubstr("s4 -> p1 [style=dashed, dir=none]")));
  // Quotes that are not escaped come in pairs on every line, and none of the text is outside.
  std::istringstream lines(dot);
  for (std::string line; std::getline(lines, line);) {
    bool inside = false;
    std::string outside;
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (inside && line[i] == '\\')
        ++i;
      else if (line[i] == '"')
        inside = !inside;
      else if (!inside)
        outside += line[i];
    }
    EXPECT_FALSE(inside) << line;
    EXPECT_THAT(outside, Not(HasSubstr("evil"))) << line;
  }
}

TEST(PathView, SvgHoldsNoMarkupButItsOwn) {
  const auto map = hostile_map();
  const auto svg = path_svg(view_of(map));
  EXPECT_THAT(svg,
              AllOf(HasSubstr("<svg xmlns="), HasSubstr("</svg>\n"),
                    HasSubstr("x&lt;/text&gt;&lt;script&gt;"), HasSubstr("&lt;b&gt;&apos;&quot;"),
                    HasSubstr("edge-b"), HasSubstr("&amp;#10;"), Not(HasSubstr("<script"))));
  // Every tag is one of those that the drawing makes.
  for (std::size_t at = svg.find('<'); at != std::string::npos; at = svg.find('<', at + 1)) {
    const auto name = svg.substr(at + 1, svg.find_first_of(" >/", at + 2) - at - 1);
    EXPECT_THAT((std::vector<std::string>{"svg", "title", "style", "rect", "line", "circle", "text",
                                          "/svg", "/title", "/style", "/text"}),
                ::testing::Contains(name));
  }
}

TEST(PathView, JsonHasEverythingOfThePath) {
  const auto map = sample_map();
  const auto object = path_json(view_of(map));
  EXPECT_EQ(object.at("icon_name"), "redis");
  EXPECT_EQ(object.at("target"), "203.0.113.9");
  const auto& hops = object.at("hops").as_array();
  ASSERT_EQ(hops.size(), 4u);
  EXPECT_EQ(hops[1].at("beside"), (json::Array{"198.51.100.5"}));
  EXPECT_TRUE(hops[2].at("address").is_null());
  EXPECT_EQ(hops[3].at("back_hops"), 7);
  const auto& providers = object.at("providers").as_array();
  ASSERT_EQ(providers.size(), 3u);
  EXPECT_EQ(providers[1].at("rtt_us_estimate"), 2'100);
  EXPECT_EQ(providers[1].at("confidence"), 80);
  EXPECT_FALSE(providers[0].as_object().contains("price_ucredits"));
}

class PathTest : public CliTest {
 protected:
  void host(const std::string& icons) { supervisor_.on("GET /v1/icons", icons); }
  void map_at(const std::string& id, const wire::NetworkMap& map) {
    supervisor_.on("GET /v1/icons/" + id + "/map", boost::json::serialize(map.to_json()));
  }
  static constexpr const char* kRedis =
      R"({"icons":[{"id":"r1","name":"redis","state":"running"}]})";
};

TEST_F(PathTest, FindsThePrefixOfAnAddress) {
  host(kRedis);
  map_at("r1", sample_map());
  for (const char* wanted : {"203.0.113.7", "203.0.113.0/24", "203.0.112.0/22"}) {
    EXPECT_EQ(icon({"path", wanted}), kOk) << err();
    EXPECT_THAT(out(), HasSubstr("redis to 203.0.113.0/24"));
  }
  EXPECT_EQ(icon({"path", "203.0.113.7", "-o", "json"}), kOk);
  EXPECT_EQ(json::parse_object(out(), 1 << 16)->at("prefix"), "203.0.113.0/24");
  EXPECT_EQ(icon({"path", "203.0.113.7", "-o", "dot"}), kOk);
  EXPECT_THAT(out(), HasSubstr("digraph"));
  EXPECT_EQ(icon({"path", "203.0.113.7", "-o", "svg"}), kOk);
  EXPECT_THAT(out(), HasSubstr("<svg"));
}

TEST_F(PathTest, SaysWhichPrefixesAreKnown) {
  host(kRedis);
  map_at("r1", sample_map());
  EXPECT_EQ(icon({"path", "198.18.0.0/24"}), kNotFound);
  EXPECT_THAT(err(), AllOf(HasSubstr("no known users in 198.18.0.0/24"),
                           HasSubstr("redis: 203.0.113.0/24, 192.0.2.0/24"),
                           HasSubstr("Try icon path with one of these")));
  EXPECT_EQ(icon({"path", "0.0.0.0/0"}), kUsage);
  EXPECT_THAT(err(), HasSubstr("Choose one: 203.0.113.0/24, 192.0.2.0/24"));
  EXPECT_EQ(icon({"path", "not-a-prefix"}), kUsage);
  EXPECT_EQ(icon({"path"}), kUsage);
  EXPECT_EQ(icon({"path", "192.0.2.1", "-o", "xml"}), kUsage);
}

TEST_F(PathTest, OfSeveralIconsOneMustBeNamed) {
  host(R"({"icons":[{"id":"r1","name":"redis","state":"running"},
                    {"id":"w1","name":"web","state":"running"},
                    {"id":"g1","name":"gone","state":"moved"}]})");
  map_at("r1", sample_map());
  map_at("w1", sample_map());
  EXPECT_EQ(icon({"path", "203.0.113.7"}), kUsage);
  EXPECT_THAT(err(), AllOf(HasSubstr("redis and web have users in"), HasSubstr("Name one")));
  supervisor_.on("GET /v1/icons/web", R"({"id":"w1","name":"web","state":"running"})");
  EXPECT_EQ(icon({"path", "203.0.113.7", "web"}), kOk) << err();
  EXPECT_THAT(out(), HasSubstr("web to 203.0.113.0/24"));
}

TEST_F(PathTest, SaysWhyThereIsNoMap) {
  host(kRedis);
  EXPECT_EQ(icon({"path", "203.0.113.7"}), kNotFound);
  EXPECT_THAT(err(), AllOf(HasSubstr("redis has told nothing about its paths yet"),
                           HasSubstr("icon logs redis --source agent")));
  supervisor_.on("GET /v1/icons/gone", R"({"id":"g1","name":"gone","state":"moved",
      "moved_to":{"public_address":"192.0.2.77"}})");
  EXPECT_EQ(icon({"path", "203.0.113.7", "gone"}), kNotFound);
  EXPECT_THAT(err(), AllOf(HasSubstr("gone has moved to 192.0.2.77"), HasSubstr("on that host")));
  supervisor_.on("GET /v1/icons/r1/map", R"({"version":7})");
  EXPECT_EQ(icon({"path", "203.0.113.7"}), kFailed);
  EXPECT_THAT(err(), HasSubstr("redis's map: "));
}

}  // namespace
}  // namespace icon::cli
