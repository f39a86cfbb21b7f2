#include "cli/completion.h"

#include "base/subprocess.h"
#include "tests/unit/cli/cli_fixture.h"

namespace icon::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CompletionTest : public CliTest {
 protected:
  // What bash offers for a line, with a stand-in for `icon ps -o names`.
  std::string offered(const std::vector<std::string>& words) {
    EXPECT_EQ(icon({"completion", "bash"}), kOk);
    std::string line = "COMP_WORDS=(";
    for (const auto& word : words) line += "'" + word + "' ";
    Command command;
    command.argv = {"bash", "--norc", "-c",
                    "compopt() { :; }\nicon() { echo cache; echo web; }\n" + out() + line + ")\n" +
                        "COMP_CWORD=" + std::to_string(words.size() - 1) +
                        "\n_icon\necho \"${COMPREPLY[*]}\"\n"};
    const auto outcome = run_command_blocking(std::move(command));
    EXPECT_TRUE(outcome && outcome->error_output.empty()) << outcome->error_output;
    return outcome->output;
  }
};

TEST_F(CompletionTest, BashOffersCommandsOptionsAndIcons) {
  EXPECT_EQ(offered({"icon", "mig"}), "migrate\n");
  EXPECT_THAT(offered({"icon", "migrate", "--"}), HasSubstr("--no-wait"));
  EXPECT_EQ(offered({"icon", "migrate", ""}), "cache web\n");
  EXPECT_EQ(offered({"icon", "logs", "-f", "w"}), "web\n");
  EXPECT_EQ(offered({"icon", "provider", ""}), "dns-records check\n");
  EXPECT_THAT(offered({"icon", "provider", "dns-records", "--f"}), HasSubstr("--format"));
  EXPECT_EQ(offered({"icon", "run", "--", "p"}), "\n") << "files, not our words";
}

TEST_F(CompletionTest, EveryShellNamesEveryCommand) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    EXPECT_EQ(icon({"completion", shell}), kOk);
    for (const char* command :
         {"check", "keygen",  "dns-records", "run",     "ps",         "providers", "leases",
          "bids",  "history", "explain",     "migrate", "hold",       "unhold",    "stop",
          "logs",  "stubs",   "tunnels",     "status",  "completion", "help"})
      EXPECT_THAT(out(), HasSubstr(command)) << shell;
  }
  EXPECT_EQ(icon({"completion", "tcsh"}), kUsage);
}

}  // namespace
}  // namespace icon::cli
