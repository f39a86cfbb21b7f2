#include "cli/simulate.h"

#include <filesystem>
#include <fstream>

#include "tests/unit/cli/cli_fixture.h"

namespace icon::cli {
namespace {

using ::testing::HasSubstr;

class SimulateTest : public CliTest {
 protected:
  void SetUp() override {
    char path[] = "/tmp/iccli-simulate.XXXXXX";
    directory_ = mkdtemp(path);
    policy_ = write("policy.yaml", "budget: 100\n");
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ + "/" + name) << text;
    return directory_ + "/" + name;
  }
  std::string directory_;
  std::string policy_;
};

TEST_F(SimulateTest, ATableJsonAndPlotsTheSameEveryTime) {
  const std::vector<std::string> words{"simulate", "--policy",   policy_, "--nodes",
                                       "6",        "--services", "6",     "--users",
                                       "600",      "--hours",    "6"};
  EXPECT_EQ(icon(words), kOk) << err();
  EXPECT_THAT(out(), HasSubstr("6 ICONs, 6 nodes in 3 regions, 600 users"));
  EXPECT_THAT(out(), HasSubstr("under the offline optimum (exact)"));
  EXPECT_EQ(err(), "");
  auto more = words;
  more.insert(more.end(), {"-o", "json", "--plots", directory_ + "/plots"});
  EXPECT_EQ(icon(more), kOk) << err();
  const auto first = out();
  EXPECT_THAT(first, HasSubstr("\"kind\":\"exact\""));
  EXPECT_EQ(icon(more), kOk);
  EXPECT_EQ(out(), first);
  for (const auto* plot : {"latency.svg", "money.svg", "moves.svg"})
    EXPECT_TRUE(std::filesystem::exists(directory_ + "/plots/" + plot)) << plot;
}

TEST_F(SimulateTest, AMeasuredMatrix) {
  const auto matrix = write("rtt.csv", "rtt_ms,fra,nyc\nfra,0.6,82\nnyc,81.5,0.9\n");
  EXPECT_EQ(icon({"simulate", "--policy", policy_, "--matrix", matrix, "--hours", "2"}), kOk);
  EXPECT_THAT(out(), HasSubstr("in 2 regions"));
  EXPECT_EQ(icon({"simulate", "--policy", policy_, "--matrix", matrix, "--regions", "fra,rio"}),
            kUsage);
  EXPECT_THAT(err(), HasSubstr("no region 'rio'"));
}

TEST_F(SimulateTest, MistakesAreSaidBeforeAnythingRuns) {
  EXPECT_EQ(icon({"simulate", "--policy", directory_ + "/none"}), kNotFound);
  EXPECT_EQ(icon({"simulate", "--policy", write("bad.yaml", "budgett: 1\n")}), kUsage);
  EXPECT_THAT(err(), HasSubstr("budgett"));
  EXPECT_EQ(icon({"simulate", "--policy", policy_, "--nodes", "0"}), kUsage);
  EXPECT_THAT(err(), HasSubstr("nodes: 0 is not between"));
  EXPECT_EQ(icon({"simulate", "--policy", policy_, "--matrix", write("m", "rtt_ms,a\na,x\n")}),
            kUsage);
  EXPECT_THAT(err(), HasSubstr("line 2: column 'a'"));
}

TEST_F(SimulateTest, WhatIfLivesARecordAgain) {
  std::string record;
  for (int i = 0; i <= 60; ++i)
    record +=
        R"({"version":1,"here_name":"origin","here_id":"a","here_price_ucredits":0,)"
        R"("here_slot_seconds":0,"budget_left_ucredits":0,"broken_promise":"","held":false,)"
        R"("replicas":{"running":0,"max":0,"host_ids":[]},"moves_to":"",)"
        R"("history":{"favourite_id":"","rounds_won":0,"last_move_ms":0},"prefixes":[{"prefix":)"
        R"("198.51.100.0/24","connections":6,"rtt_us":80000,"samples":6}],"providers":[)"
        R"({"name":"edge","domain":"edge.test","id":"b","configured":false,"source":"dns",)"
        R"("rtt_us":[5000],"sure_percent":[100],"price_ucredits":1000,"slot_seconds":3600}],"at_ms":)" +
        std::to_string(1'700'000'000'000 + i * 10'000) + "}\n";
  const auto file = write("record.jsonl", record);
  EXPECT_EQ(icon({"whatif", "--policy", policy_, "--record", file}), kOk) << err();
  EXPECT_THAT(out(), HasSubstr("61 rounds, 10 min"));
  EXPECT_EQ(icon({"whatif", "--policy", policy_, "--record", file, "-o", "json"}), kOk) << err();
  EXPECT_THAT(out(), HasSubstr(R"("moves":1)"));
  EXPECT_EQ(icon({"whatif", "--policy", policy_, "--record", write("bad", record + "{}\n")}),
            kUsage);
  EXPECT_THAT(err(), HasSubstr("line 62"));
}

}  // namespace
}  // namespace icon::cli
