#include "cli/migrate.h"

#include "tests/unit/cli/cli_fixture.h"

namespace icon::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kMove =
    R"({"id":"m2","icon":"abc","name":"cache","from":"origin","to":"edge-a",
"epoch":2,"reason":"operator","started_ms":1,"gap_us":61000,"bytes":70000000,
"phases":[{"name":"freeze","started_ms":1,"took_us":12000,"bytes":0}],)";

class MigrateTest : public CliTest {
 protected:
  void SetUp() override {
    supervisor_.on("GET /v1/icons/cache", R"({"id":"abc","name":"cache","state":"running"})");
    supervisor_.on("GET /v1/migrations", R"({"migrations":[{"id":"m1","icon":"abc"}]})");
    supervisor_.on(
        "GET /v1/decisions?icon=abc",
        R"({"decisions":[{"id":"d1","outcome":"stay","evidence":{"reason":"operator"}}]})");
    supervisor_.on("POST /v1/icons/abc/migrate", R"({"request":"r1"})", 202);
  }
  void begins() {
    supervisor_.on("GET /v1/migrations",
                   R"({"migrations":[{"id":"m2","icon":"abc"},{"id":"m1","icon":"abc"}]})");
  }
};

TEST_F(MigrateTest, ShowsThePhasesAndTheResult) {
  begins();
  supervisor_.on("GET /v1/migrations/m2/events",
                 "{\"phase\":\"freeze\",\"state\":\"begin\",\"bytes\":0,\"took_us\":0}\n"
                 "{\"phase\":\"freeze\",\"state\":\"end\",\"bytes\":0,\"took_us\":12000}\n"
                 "{\"phase\":\"transfer\",\"state\":\"progress\",\"bytes\":1000,\"took_us\":10}\n"
                 "{\"phase\":\"transfer\",\"state\":\"end\",\"bytes\":70000000,\"took_us\":40000}\n"
                 "{\"phase\":\"end\",\"state\":\"done\",\"bytes\":70000000,\"gap_us\":61000}\n");
  supervisor_.on("GET /v1/migrations/m2", std::string(kMove) + R"("state":"done"})");
  EXPECT_EQ(icon({"migrate", "cache", "--to", "edge-a"}), kOk) << err();
  EXPECT_EQ(supervisor_.body_of("POST /v1/icons/abc/migrate"), R"({"to":"edge-a"})");
  EXPECT_THAT(out(), HasSubstr("  freeze           12.0 ms\n"));
  EXPECT_THAT(out(), HasSubstr("  transfer         40.0 ms    70.0 MB\n"));
  EXPECT_THAT(out(),
              HasSubstr("moved: cache now runs at edge-a, epoch 2; it stood still for 61.0 ms"));
  EXPECT_THAT(out(), Not(HasSubstr("\r")));
}

TEST_F(MigrateTest, RedrawsTheRunningPhaseOnATerminal) {
  live_ = true;
  begins();
  supervisor_.on("GET /v1/migrations/m2/events",
                 "{\"phase\":\"transfer\",\"state\":\"begin\",\"bytes\":0,\"took_us\":0}\n"
                 "{\"phase\":\"transfer\",\"state\":\"end\",\"bytes\":5,\"took_us\":9}\n");
  supervisor_.on("GET /v1/migrations/m2", std::string(kMove) + R"("state":"done"})");
  EXPECT_EQ(icon({"migrate", "cache", "--to", "edge-a"}), kOk) << err();
  EXPECT_THAT(out(), HasSubstr("\r\033[K"));
}

TEST_F(MigrateTest, ARollBackIsNotASuccess) {
  begins();
  supervisor_.on("GET /v1/migrations/m2/events", "{\"phase\":\"end\",\"state\":\"rolled_back\"}\n");
  supervisor_.on("GET /v1/migrations/m2",
                 std::string(kMove) + R"("state":"rolled_back","error":"the peer vanished"})");
  EXPECT_EQ(icon({"migrate", "cache", "--to", "edge-a"}), kRefused);
  EXPECT_THAT(err(), HasSubstr("rolled back, the service runs on where it was: the peer vanished"));
  EXPECT_THAT(err(), HasSubstr("icon explain m2"));
}

TEST_F(MigrateTest, TheAgentMayRefuse) {
  supervisor_.on("GET /v1/decisions?icon=abc",
                 R"({"decisions":[{"id":"d2","outcome":"stay","evidence":{"reason":"operator",
                 "candidates":[{"message":"costs more than is left"}]}},
                 {"id":"d1","outcome":"stay","evidence":{"reason":"operator"}}]})");
  EXPECT_EQ(icon({"migrate", "cache", "--to", "edge-a"}), kRefused);
  EXPECT_THAT(err(), HasSubstr("does not move to edge-a: costs more than is left"));
}

TEST_F(MigrateTest, AReplicaIsAskedForAlike) {
  supervisor_.on("POST /v1/icons/abc/replicate", R"({"request":"r1"})", 202);
  supervisor_.on("GET /v1/decisions?icon=abc",
                 R"({"decisions":[{"id":"d2","outcome":"stay","evidence":{"reason":"operator",
                 "message":"no room"}},
                 {"id":"d1","outcome":"stay","evidence":{"reason":"operator"}}]})");
  EXPECT_EQ(icon({"replicate", "cache", "--to", "edge-a"}), kRefused);
  EXPECT_EQ(supervisor_.body_of("POST /v1/icons/abc/replicate"), R"({"to":"edge-a"})");
  EXPECT_THAT(err(), HasSubstr("gets no replica at edge-a: no room"));
  begins();
  supervisor_.on("GET /v1/migrations/m2/events", "{\"phase\":\"end\",\"state\":\"done\"}\n");
  supervisor_.on("GET /v1/migrations/m2", std::string(kMove) + R"("state":"done"})");
  EXPECT_EQ(icon({"replicate", "cache", "--to", "edge-a"}), kOk) << err();
  EXPECT_THAT(out(), HasSubstr("copied: cache now runs at edge-a too"));
}

TEST_F(MigrateTest, GivesUpWaitingButNotTheMigration) {
  EXPECT_EQ(icon({"migrate", "cache", "--to", "edge-a", "--timeout", "0.05"}), kTimedOut);
  EXPECT_THAT(err(), HasSubstr("icon logs --source agent cache"));
  begins();
  supervisor_.on("GET /v1/migrations/m2", std::string(kMove) + R"("state":"staging"})");
  EXPECT_EQ(icon({"migrate", "cache", "--to", "edge-a", "--timeout", "0.3"}), kTimedOut);
}

TEST_F(MigrateTest, DoesNotWaitWhenTold) {
  EXPECT_EQ(icon({"migrate", "cache", "--to", "edge-a", "--no-wait"}), kOk) << err();
  EXPECT_EQ(icon({"migrate", "cache", "--to", "edge-a", "--no-wait", "-o", "json"}), kOk);
  EXPECT_EQ(out(), "{\"request\":\"r1\"}\n");
}

TEST_F(MigrateTest, FollowsAQuickMoveFromItsRecord) {
  begins();
  supervisor_.on("GET /v1/migrations/m2", std::string(kMove) + R"("state":"done"})");
  EXPECT_EQ(icon({"migrate", "cache", "--to", "edge-a"}), kOk) << err();
  EXPECT_THAT(out(), HasSubstr("  freeze           12.0 ms\n"));
}

TEST_F(MigrateTest, AStreamThatBreaksIsTakenUpWithoutRepeating) {
  begins();
  const std::string first =
      "{\"phase\":\"freeze\",\"state\":\"end\",\"bytes\":0,\"took_us\":12000}\n";
  supervisor_.on("GET /v1/migrations/m2/events", first);
  supervisor_.on("GET /v1/migrations/m2/events",
                 first + "{\"phase\":\"settle\",\"state\":\"end\",\"bytes\":0,\"took_us\":5}\n");
  supervisor_.on("GET /v1/migrations/m2", std::string(kMove) + R"("state":"freezing"})");
  supervisor_.on("GET /v1/migrations/m2", std::string(kMove) + R"("state":"done"})");
  EXPECT_EQ(icon({"migrate", "cache", "--to", "edge-a"}), kOk) << err();
  EXPECT_EQ(out().find("freeze"), out().rfind("freeze"));
  EXPECT_THAT(out(), HasSubstr("settle"));
}

TEST_F(MigrateTest, AnUnknownIconIsNotFound) {
  EXPECT_EQ(icon({"migrate", "nobody", "--to", "edge-a"}), kNotFound);
}

}  // namespace
}  // namespace icon::cli
