#include "budget/allow_list.h"

#include <gtest/gtest.h>

namespace icon::budget {
namespace {

TEST(Glob, MatchesAsOneWouldExpect) {
  EXPECT_TRUE(glob_match("*.example.org", "edge.Example.ORG"));
  EXPECT_FALSE(glob_match("*.example.org", "example.org"));
  EXPECT_TRUE(glob_match("*", ""));
  EXPECT_TRUE(glob_match("", ""));
  EXPECT_FALSE(glob_match("", "a"));
  EXPECT_TRUE(glob_match("a?c", "abc"));
  EXPECT_FALSE(glob_match("a?c", "ac"));
  EXPECT_TRUE(glob_match("a*b*c", "a--b--bc"));
  EXPECT_FALSE(glob_match("a*b*c", "a--b--b"));
  EXPECT_FALSE(glob_match("abc", "ab"));
}

TEST(Glob, AHostilePatternEndsSoon) {
  std::string pattern;
  for (int i = 0; i < 500; ++i) pattern += "*a";
  EXPECT_FALSE(glob_match(pattern + "b", std::string(5000, 'a')));
}

TEST(AllowList, EmptyLetsEveryoneIn) {
  EXPECT_FALSE((AllowList{}.check({"anyone", "a.test", "id", false})));
}

TEST(AllowList, DenyWinsOverAllow) {
  const AllowList list{{"*.test"}, {"bad.test"}};
  EXPECT_FALSE(list.check({"", "good.test", "", false}));
  EXPECT_EQ(list.check({"", "bad.test.", "", false})->code, "denied");
  EXPECT_EQ(list.check({"", "good.example", "", false})->code, "not_allowed");
}

TEST(AllowList, AStrangersOwnNameOpensNoDoor) {
  const AllowList list{{"trusted"}, {}};
  EXPECT_EQ(list.check({"trusted", "evil.test", "", false})->code, "not_allowed");
  EXPECT_FALSE(list.check({"trusted", "", "", true}));
  // ... but it may close one.
  EXPECT_EQ((AllowList{{}, {"trusted"}}.check({"trusted", "evil.test", "", false})->code),
            "denied");
}

TEST(AllowList, IdsMatchWholly) {
  const AllowList list{{"abcdef"}, {}};
  EXPECT_FALSE(list.check({"", "", "abcdef", false}));
  EXPECT_TRUE(list.check({"", "", "abcdefg", false}));
}

}  // namespace
}  // namespace icon::budget
