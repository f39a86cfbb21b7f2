#include <unistd.h>

#include "base/json.h"
#include "tests/unit/cli/cli_fixture.h"

namespace icon::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kObstacle =
    R"({"kind":"io_uring","pid":4711,"inner_pid":7,"process":"no\u001bde","where":"descriptor 9",)"
    R"("what":"an io_uring, which CRIU cannot dump","fix":"Turn it off","blocks":true})";
constexpr const char* kVisitor =
    R"({"kind":"visitor","pid":9,"inner_pid":8,"process":"sh","where":"","what":"came from )"
    R"(outside","fix":"Wait for its end","blocks":false})";

std::string answer(bool movable, const std::string& obstacles, const std::string& more = "") {
  return std::string(R"({"movable":)") + (movable ? "true" : "false") +
         R"(,"processes":3,"obstacles":[)" + obstacles + "]" + more + "}";
}

using CheckMoveTest = CliTest;

TEST_F(CheckMoveTest, NothingStandsInTheWay) {
  supervisor_.on("GET /v1/icons/redis/movable", answer(true, ""));
  EXPECT_EQ(icon({"check", "redis"}), kOk) << err();
  EXPECT_EQ(out(), "redis can move: 3 processes, nothing stands in the way.\n");
}

TEST_F(CheckMoveTest, EveryObstacleHasItsFix) {
  supervisor_.on("GET /v1/icons/a%2Fb/movable",
                 answer(false, std::string(kObstacle) + "," + kVisitor));
  EXPECT_EQ(icon({"check", "a/b"}), kRefused);
  EXPECT_THAT(out(), HasSubstr("no?de (4711)"));
  EXPECT_THAT(out(), HasSubstr("an io_uring, which CRIU cannot dump"));
  EXPECT_THAT(out(), HasSubstr("-> Turn it off"));
  EXPECT_THAT(out(), HasSubstr("-> Wait for its end"));
  EXPECT_THAT(out(), HasSubstr("a/b cannot move: 1 thing stands in the way.\n"));
}

TEST_F(CheckMoveTest, WhatStaysBehindIsToldButHindersNothing) {
  supervisor_.on("GET /v1/icons/redis/movable", answer(true, kVisitor));
  EXPECT_EQ(icon({"check", "redis"}), kOk);
  EXPECT_THAT(out(), HasSubstr("stays"));
  EXPECT_THAT(out(), HasSubstr("redis can move"));
}

TEST_F(CheckMoveTest, TheDestinationIsAskedWhenNamed) {
  supervisor_.on("GET /v1/icons/redis/movable?to=edge%20a",
                 answer(false, "",
                        R"(,"destination":{"to":"edge a","has_room":false,"error":"no )"
                        R"(memory left"})"));
  EXPECT_EQ(icon({"check", "redis", "--to", "edge a"}), kRefused);
  EXPECT_THAT(out(), HasSubstr("redis can move"));
  EXPECT_THAT(out(), HasSubstr("edge a cannot take it: no memory left\n"));
  supervisor_.on("GET /v1/icons/redis/movable?to=edge",
                 answer(true, "", R"(,"destination":{"to":"edge","has_room":true,"error":""})"));
  EXPECT_EQ(icon({"check", "redis", "--to", "edge"}), kOk);
  EXPECT_THAT(out(), HasSubstr("edge answers and has room for it.\n"));
}

constexpr const char* kOtherProcessor =
    R"({"kind":"cpu_instructions","pid":0,"inner_pid":0,"process":"","where":"","what":"its )"
    R"(processor lacks avx512f","fix":"Move to another","blocks":true})";

TEST_F(CheckMoveTest, WhatTheDestinationLacksHasItsFix) {
  const std::string destination =
      std::string(R"({"to":"edge","has_room":true,"error":"","known":true,"obstacles":[)") +
      kOtherProcessor + R"(],"fit":false})";
  supervisor_.on("GET /v1/icons/redis/movable?to=edge",
                 answer(false, "", R"(,"destination":)" + destination));
  EXPECT_EQ(icon({"check", "redis", "--to", "edge"}), kRefused);
  EXPECT_THAT(out(), HasSubstr("redis can move"));
  EXPECT_THAT(out(), HasSubstr("its processor lacks avx512f"));
  EXPECT_THAT(out(), HasSubstr("-> Move to another"));
  EXPECT_THAT(out(), HasSubstr("edge cannot run it: 1 thing stands in the way.\n"));
  EXPECT_THAT(out(), Not(HasSubstr("unknown")));
  supervisor_.on("GET /v1/traits?to=edge", destination);
  EXPECT_EQ(icon({"check", "--to", "edge"}), kRefused);
  EXPECT_THAT(out(), HasSubstr("edge cannot run it"));
}

TEST_F(CheckMoveTest, AnOlderHostIsUnknownAndNotRefused) {
  supervisor_.on("GET /v1/traits?to=edge",
                 R"({"to":"edge","has_room":true,"error":"","known":false,"obstacles":[],)"
                 R"("fit":true})");
  EXPECT_EQ(icon({"check", "--to", "edge"}), kOk);
  EXPECT_THAT(out(), HasSubstr("edge answers and has room for it.\n"));
  EXPECT_THAT(out(), HasSubstr("unknown"));
}

TEST_F(CheckMoveTest, JsonIsTheAnswer) {
  supervisor_.on("GET /v1/icons/redis/movable", answer(false, kObstacle));
  EXPECT_EQ(icon({"check", "redis", "-o", "json"}), kRefused);
  const auto object = json::parse_object(out(), 1 << 20);
  ASSERT_TRUE(object);
  EXPECT_EQ(object->at("obstacles").at(0).at("kind"), "io_uring");
}

TEST_F(CheckMoveTest, WhoIsNotThere) {
  EXPECT_EQ(icon({"check", "nobody"}), kNotFound);
  EXPECT_EQ(icon({"check", "--pid", "99999999"}), kNotFound);
  EXPECT_THAT(err(), HasSubstr("no process 99999999"));
}

TEST_F(CheckMoveTest, OneThingAtATime) {
  EXPECT_EQ(icon({"check", "redis", "--pid", "1"}), kUsage);
  EXPECT_EQ(icon({"check", "--pid", "1", "--to", "edge"}), kUsage);
  EXPECT_EQ(icon({"check", "--pid", "-1"}), kUsage);
  EXPECT_TRUE(supervisor_.asked().empty());
}

TEST_F(CheckMoveTest, AProcessOfTheHostShouldRunInAContainer) {
  EXPECT_EQ(icon({"check", "--pid", std::to_string(getpid())}), kRefused);
  EXPECT_THAT(out(), HasSubstr("-> Run it in a container: icon run"));
  EXPECT_THAT(out(), Not(HasSubstr("volume")));
}

}  // namespace
}  // namespace icon::cli
