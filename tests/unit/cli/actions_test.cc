#include "cli/actions.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/json.h"
#include "tests/unit/cli/cli_fixture.h"

namespace icon::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ActionsTest : public CliTest {
 protected:
  void SetUp() override {
    char path[] = "/tmp/iccli-actions.XXXXXX";
    directory_ = mkdtemp(path);
    policy_ = directory_ + "/policy.yaml";
    supervisor_.on("POST /v1/icons", R"({"id":"abcdefghijkl","name":"redis-server"})", 201);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  json::Object posted() {
    return *json::parse_object(supervisor_.body_of("POST /v1/icons"), 1 << 20);
  }

  std::string directory_;
  std::string policy_;
};

TEST(ApiPort, TurnsPublicFirstIntoTheApisForm) {
  EXPECT_EQ(*api_port("6379"), "tcp:6379:6379");
  EXPECT_EQ(*api_port("8080:80"), "tcp:80:8080");
  EXPECT_EQ(*api_port("53/udp"), "udp:53:53");
  EXPECT_EQ(*api_port("5353:53/udp"), "udp:53:5353");
  for (const char* wrong : {"", "0", "65536", "a", "1:", ":1", "1:2:3", "1/sctp", "1/", " 1", "-1"})
    EXPECT_FALSE(api_port(wrong)) << wrong;
}

TEST_F(ActionsTest, RunHandsOnAKeyForTheDnsThatIsOne) {
  std::ofstream(policy_)
      << "dns_update: {server: 192.0.2.53, zone: dyn.test, name: www.dyn.test}\n";
  const std::string path = directory_ + "/key";
  const auto run = [&](const std::string& content, unsigned mode = 0600) {
    EXPECT_TRUE(write_file_atomic(path, content, mode));
    return icon({"run", "--rootfs", directory_, "--policy", policy_, "--dns-key", path, "--", "x"});
  };
  const std::string good = "hmac-sha256:icon.key:c2VjcmV0\n";
  EXPECT_EQ(run(good), kOk) << err();
  EXPECT_EQ(posted().at("dns_key").as_string(), good);

  const auto refused = [&](const std::string& content, const char* why, unsigned mode = 0600) {
    const auto requests = supervisor_.asked().size();
    EXPECT_EQ(run(content, mode), kUsage) << why;
    EXPECT_THAT(err(), HasSubstr(why));
    EXPECT_THAT(err() + out(), Not(HasSubstr("c2V")));
    EXPECT_EQ(supervisor_.asked().size(), requests);
  };
  refused(good, "chmod 600", 0644);
  refused(good, "chmod 600", 0620);
  refused("", "[ALGORITHM:]NAME:SECRET");
  refused("c2VjcmV0\n", "[ALGORITHM:]NAME:SECRET");
  refused(good + good, "[ALGORITHM:]NAME:SECRET");
  refused("hmac-md5:icon.key:c2VjcmV0\n", "algorithm");
  refused("icon.key:c2VjcmV0!\n", "base64");
  refused("#" + std::string(4096, 'c') + "\n" + good, "larger than 4096");
  std::ofstream(policy_) << "budget: 1\n";
  refused(good, "no use for it");
  EXPECT_EQ(icon({"run", "--rootfs", directory_, "--dns-key", path, "--", "x"}), kUsage);
  std::filesystem::remove(path);
  EXPECT_EQ(icon({"run", "--rootfs", directory_, "--dns-key", path, "--", "x"}), kUsage);
  EXPECT_THAT(err(), HasSubstr("Check the path"));
}

TEST_F(ActionsTest, RunSendsEverythingTheUserSaid) {
  std::ofstream(policy_) << "# an empty policy is the default one\n";
  EXPECT_EQ(
      icon(
          {"run",    "--rootfs",    directory_, "-p",       "6379",  "-p",  "53:5353/udp",
           "--env",  "A=b=c",       "-e",       "D=",       "--cpu", "0.5", "--memory",
           "256MiB", "--bandwidth", "100Mbit",  "--policy", policy_, "--",  "/usr/bin/redis-server",
           "--port", "6379",        "-h"}),
      kOk)
      << err();
  const auto body = posted();
  EXPECT_EQ(body.at("rootfs").as_string(), directory_);
  EXPECT_EQ(body.at("name").as_string(), "redis-server");
  EXPECT_EQ(body.at("command"), (json::Array{"/usr/bin/redis-server", "--port", "6379", "-h"}));
  EXPECT_EQ(body.at("ports"), (json::Array{"tcp:6379:6379", "udp:5353:53"}));
  EXPECT_EQ(body.at("env"), (json::Array{"A=b=c", "D="}));
  EXPECT_EQ(body.at("resources").at("cpu_millis").as_int64(), 500);
  EXPECT_EQ(body.at("resources").at("memory_bytes").as_int64(), 256 << 20);
  EXPECT_EQ(body.at("resources").at("bandwidth_bps").as_int64(), 100'000'000);
  EXPECT_THAT(out(), HasSubstr("redis-server runs as ICON abcdefghijkl"));
}

TEST_F(ActionsTest, ACommandMayBeCalledLikeOneOfOurs) {
  EXPECT_EQ(icon({"run", "--rootfs", directory_, "--", "ps", "stop", "--", "-o", "json"}), kOk)
      << err();
  EXPECT_EQ(posted().at("command"), (json::Array{"ps", "stop", "--", "-o", "json"}));
}

TEST_F(ActionsTest, AWrongPolicyStopsEverythingWithItsLine) {
  std::ofstream(policy_) << "name: x\nlatnecy:\n  objective: 20\n";
  EXPECT_EQ(icon({"run", "--rootfs", directory_, "--policy", policy_, "--", "/bin/x"}), kUsage);
  EXPECT_THAT(err(), HasSubstr(policy_ + ": line 2"));
  EXPECT_TRUE(supervisor_.asked().empty());
}

TEST_F(ActionsTest, RunRefusesWhatCannotWork) {
  const std::vector<std::vector<std::string>> wrong = {
      {"run", "--", "/bin/x"},
      {"run", "--rootfs", directory_},
      {"run", "--rootfs", "/nonexistent", "--", "/bin/x"},
      {"run", "--rootfs", directory_, "--bundle", directory_, "--", "/bin/x"},
      {"run", "--rootfs", directory_, "-p", "70000", "--", "/bin/x"},
      {"run", "--rootfs", directory_, "--env", "novalue", "--", "/bin/x"},
      {"run", "--rootfs", directory_, "--memory", "much", "--", "/bin/x"},
      {"run", "--rootfs", directory_, "--cpu", "-1", "--", "/bin/x"},
      {"run", "--rootfs", directory_, "--policy", "/nonexistent", "--", "/bin/x"}};
  for (const auto& line : wrong) EXPECT_EQ(icon(line), kUsage) << ::testing::PrintToString(line);
  EXPECT_TRUE(supervisor_.asked().empty());
}

TEST_F(ActionsTest, StopTellsTheExitStatusAndEscapesNames) {
  supervisor_.on("DELETE /v1/icons/a%2Fb?grace_ms=100", R"({"exit_status":3})");
  EXPECT_EQ(icon({"stop", "a/b", "--grace-ms", "100"}), kOk) << err();
  EXPECT_EQ(out(), "a/b stopped, exit status 3\n");
  EXPECT_EQ(icon({"stop", "nobody"}), kNotFound);
}

TEST_F(ActionsTest, HoldAndUnhold) {
  supervisor_.on("POST /v1/icons/x/hold", "{}");
  supervisor_.on("POST /v1/icons/x/unhold", "{}");
  EXPECT_EQ(icon({"hold", "x"}), kOk);
  EXPECT_THAT(out(), HasSubstr("icon unhold x"));
  EXPECT_EQ(icon({"unhold", "x"}), kOk);
}

TEST_F(ActionsTest, LogsPrintsLinesAsTheyWereWritten) {
  supervisor_.on("GET /v1/icons/x/logs?follow=1&source=agent&lines=5",
                 "{\"line\":\"one\"}\n{\"line\":\"two \\u001b[1mbold\"}\n");
  EXPECT_EQ(icon({"logs", "-f", "x", "--source", "agent", "-n", "5"}), kOk) << err();
  EXPECT_EQ(out(), "one\ntwo \033[1mbold\n");
  EXPECT_EQ(icon({"logs", "nobody"}), kNotFound);
  supervisor_.on("GET /v1/icons/y/logs?follow=0&source=service&lines=100",
                 R"({"error":{"code":"not_found","message":"no ICON y"}})"
                 "\n");
  EXPECT_EQ(icon({"logs", "y"}), kNotFound) << "a refusal may come as a line";
  EXPECT_EQ(err(), "icon: no ICON y\n");
  EXPECT_EQ(icon({"logs", "x", "--source", "kernel"}), kUsage);
  EXPECT_EQ(icon({"logs", "x", "--socket", "/nonexistent/s"}), kNoSupervisor);
}

constexpr const char* kEvidence = R"({"decided_ms":1700000000000,"outcome":"move","reason":"won",
"message":"edge-a is worth it"})";

TEST_F(ActionsTest, ExplainTellsPhasesAndEvidenceOfAMigration) {
  supervisor_.on("GET /v1/migrations/m1", std::string(R"({"id":"m1","icon":"abc","name":"cache",
    "from":"origin","to":"edge-a","epoch":2,"state":"done","reason":"latency","started_ms":1,
    "gap_us":61000,"bytes":70000000,"phases":[{"name":"freeze","started_ms":1,"took_us":12000,
    "bytes":0},{"name":"transfer","started_ms":2,"took_us":40000,"bytes":70000000}],
    "error":"","details":{"memory":{"mode":"hybrid","memory_bytes":1200000000,
    "link_bytes_per_second":280000000,"change_bytes_per_second":800000,"rest_bytes":400000,
    "image_memory_bytes":38000000}},
    "evidence":)") + kEvidence + "}");
  EXPECT_EQ(icon({"explain", "m1"}), kOk) << err();
  EXPECT_THAT(out(), HasSubstr("Migration m1 of cache, from origin to edge-a, epoch 2: done"));
  EXPECT_THAT(out(), HasSubstr("stood still for 61.0 ms; 70.0 MB moved"));
  EXPECT_THAT(out(), HasSubstr("transfer  40.0 ms  70.0 MB"));
  EXPECT_THAT(out(), HasSubstr("Hybrid (pre-copy, then post-copy from what the destination has): "
                               "Its memory, 1.20 GB, went ahead while it ran, at 280 MB a second; "
                               "800 kB a second changed, 400 kB were left for the end; 38.0 MB are "
                               "shared or locked and travelled while it stood still."));
}

TEST_F(ActionsTest, ExplainFindsDecisionsAndShortIds) {
  supervisor_.on("GET /v1/migrations", R"({"migrations":[]})");
  supervisor_.on("GET /v1/decisions",
                 R"({"decisions":[{"id":"dec-one","icon":"a","outcome":"stay","evidence":{}},
                 {"id":"dec-two","icon":"a","outcome":"stay","evidence":{}}]})");
  EXPECT_EQ(icon({"explain", "dec-o"}), kOk) << err();
  EXPECT_THAT(out(), HasSubstr("No evidence was kept."));
  EXPECT_EQ(icon({"explain", "dec-"}), kUsage) << "ambiguous";
  supervisor_.on("GET /v1/decisions?icon=else", R"({"decisions":[]})");
  EXPECT_EQ(icon({"explain", "else"}), kNotFound);
  EXPECT_THAT(err(), HasSubstr("icon history"));
  supervisor_.on(
      "GET /v1/decisions?icon=cache",
      R"({"decisions":[{"id":"dec-two","evidence":{}},{"id":"dec-one","evidence":{}}]})");
  EXPECT_EQ(icon({"explain", "cache", "-o", "json"}), kOk) << "an ICON's newest decision";
  EXPECT_THAT(out(), HasSubstr("dec-two"));
}

TEST_F(ActionsTest, PlanSaysWhatWouldBeDone) {
  int asked = 0;
  const auto plan = [&](const char* evidence) {
    const auto name = "cache" + std::to_string(++asked);
    supervisor_.on("POST /v1/icons/" + name + "/plan",
                   std::string(R"({"evidence":)") + evidence + "}");
    EXPECT_EQ(icon({"plan", name}), kOk) << err();
    return out();
  };
  EXPECT_THAT(plan(R"({"to_name":"edge","reason":"held","outcome":"stay"})"),
              HasSubstr("cache1: would go to edge, were it not held\n"));
  EXPECT_THAT(plan(R"({"to_name":"edge","reason":"won","outcome":"move"})"),
              HasSubstr("cache2: would move to edge\n"));
  EXPECT_THAT(plan(R"({"to_name":"edge","reason":"won","outcome":"replicate"})"),
              HasSubstr("cache3: would make a replica at edge\n"));
  EXPECT_THAT(plan(R"({"to_name":"edge","reason":"rounds","outcome":"stay"})"),
              HasSubstr("cache4: would stay for now, and leans to edge\n"));
  EXPECT_THAT(plan(R"({"outcome":"end"})"), HasSubstr("cache5: would end"));
  EXPECT_THAT(plan("{}"), HasSubstr("cache6: would stay\n"));
  supervisor_.on("POST /v1/icons/cache/plan", R"({"evidence":{"reason":"won"}})");
  EXPECT_EQ(icon({"plan", "cache", "-o", "json"}), kOk) << err();
  EXPECT_EQ(out(), "{\"evidence\":{\"reason\":\"won\"}}\n");
  supervisor_.on(
      "POST /v1/icons/other/plan",
      R"({"error":{"code":"unavailable","message":"the agent of cache does not listen"}})", 503);
  EXPECT_EQ(icon({"plan", "other"}), kFailed);
  EXPECT_THAT(err(), HasSubstr("the agent of cache does not listen"));
}

TEST_F(ActionsTest, CordonsAreSetAndLifted) {
  supervisor_.on("POST /v1/cordon", R"({"since_ms":5,"reason":"new kernel"})");
  EXPECT_EQ(icon({"cordon", "--reason", "new kernel"}), kOk) << err();
  EXPECT_EQ(supervisor_.body_of("POST /v1/cordon"), R"({"reason":"new kernel"})");
  EXPECT_THAT(out(), HasSubstr("until: icon uncordon"));
  supervisor_.on("DELETE /v1/cordon", "{}");
  EXPECT_EQ(icon({"uncordon"}), kOk) << err();
  supervisor_.on("GET /v1/icons", R"({"icons":[]})");
  supervisor_.on("GET /v1/status", R"({"cordon":{"since_ms":5,"reason":"new kernel"}})");
  EXPECT_EQ(icon({"status"}), kOk) << err();
  EXPECT_THAT(out(), HasSubstr("cordoned   takes nothing new: new kernel\n"));
}

}  // namespace
}  // namespace icon::cli
