#include "agent/options.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace icon::agent {
namespace {

Result<Options> parse(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "icon-agent");
  std::vector<char*> pointers;
  for (auto& argument : arguments) pointers.push_back(argument.data());
  return parse_options(pointers);
}

TEST(Options, EverythingBehindTheDashesIsTheService) {
  const auto options = parse({"--run-dir=/r", "--policy", "/p", "--", "sh", "-c", "--help"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->mode, Options::Mode::kRun);
  EXPECT_EQ(options->run_dir, "/r");
  EXPECT_EQ(options->policy_path, "/p");
  EXPECT_EQ(options->command, (std::vector<std::string>{"sh", "-c", "--help"}));
}

TEST(Options, Defaults) {
  const auto options = parse({"--", "x"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->run_dir, "/run/icon");
  EXPECT_EQ(options->stop_grace, Millis(0));
}

TEST(Options, Commands) {
  EXPECT_EQ(parse({"validate", "p.yaml"})->mode, Options::Mode::kValidate);
  const auto discover = parse({"discover", "--json", "192.0.2.1", "192.0.2.2"});
  ASSERT_TRUE(discover);
  EXPECT_EQ(discover->mode, Options::Mode::kDiscover);
  EXPECT_TRUE(discover->json);
  EXPECT_EQ(discover->targets.size(), 2U);
  EXPECT_EQ(parse({"--help", "rubbish"})->mode, Options::Mode::kHelp);
  EXPECT_EQ(parse({"--version"})->mode, Options::Mode::kVersion);
  // Behind the dashes the same words are the service.
  EXPECT_EQ(parse({"--", "validate", "x"})->mode, Options::Mode::kRun);
}

TEST(Options, Mistakes) {
  for (const auto& wrong : std::vector<std::vector<std::string>>{
           {},
           {"--"},
           {"nginx"},
           {"--unknown", "--", "x"},
           {"--policy"},
           {"--stop-grace", "-1", "--", "x"},
           {"--stop-grace", "1s", "--", "x"},
           {"validate"},
           {"validate", "a", "b"},
           {"discover"},
       })
    EXPECT_FALSE(parse(wrong)) << (wrong.empty() ? "nothing" : wrong.front());
  EXPECT_FALSE(parse([] {
    std::vector<std::string> many(kDiscoverTargetsMax + 2, "192.0.2.1");
    many[0] = "discover";
    return many;
  }()));
}

}  // namespace
}  // namespace icon::agent
