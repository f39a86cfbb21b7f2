#include "cli/check.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/json.h"
#include "cli/probes.h"
#include "tests/unit/cli/cli_fixture.h"

namespace icon::cli {
namespace {

using ::testing::HasSubstr;

class CheckTest : public CliTest {
 protected:
  int show(const std::vector<Finding>& findings, bool as_json = false) {
    Context context{text_, text_, clock_};
    context.json = as_json;
    return show_findings(context, findings);
  }
  std::ostringstream text_;
};

TEST_F(CheckTest, MissingThingsFailAndComeWithTheirFix) {
  EXPECT_EQ(show({{"root", CheckState::kOk, "yes", ""},
                  {"runc", CheckState::kMissing, "not found", "apt-get install runc"}}),
            kFailed);
  EXPECT_EQ(text_.str(),
            "         WHAT  SEEN\n"
            "ok       root  yes\n"
            "missing  runc  not found\n"
            "               -> apt-get install runc\n"
            "1 needed thing is missing: see the lines marked with ->.\n");
}

TEST_F(CheckTest, WarningsDoNotFail) {
  EXPECT_EQ(show({{"userfaultfd", CheckState::kWarning, "no", "another kernel"}}), kOk);
  EXPECT_THAT(text_.str(), HasSubstr("with the limits named above"));
}

TEST_F(CheckTest, JsonHoldsEveryFinding) {
  EXPECT_EQ(show({{"runc", CheckState::kMissing, "not found", "install"}}, true), kFailed);
  EXPECT_EQ(text_.str(), R"({"ok":false,"checks":[{"name":"runc","state":"missing",)"
                         R"("detail":"not found","fix":"install"}]})"
                         "\n");
}

TEST_F(CheckTest, EveryFindingThatIsNotOkHasAFix) {
  CheckOptions options;
  options.program_dir = "/nonexistent";
  options.criu = "/nonexistent/criu";
  options.runc = "/nonexistent/runc";
  const auto findings = run_checks(options, "/nonexistent/s");
  EXPECT_GE(findings.size(), 15u);
  for (const auto& finding : findings) {
    EXPECT_EQ(finding.fix.empty(), finding.state == CheckState::kOk) << finding.name;
    EXPECT_FALSE(finding.detail.empty()) << finding.name;
  }
  const auto missing = [&](const std::string& name) {
    return std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) {
      return finding.name == name && finding.state == CheckState::kMissing;
    });
  };
  for (const char* name : {"CRIU", "runc", "icon-supervisor", "icon-agent", "icon-stub"})
    EXPECT_TRUE(missing(name)) << name;
}

TEST(Probes, AgreeWithThisMachineAndLeaveNothing) {
  ASSERT_EQ(geteuid(), 0u) << "the probes need root";
  for (const auto& status : {probe::namespaces(), probe::overlayfs(), probe::tun(), probe::veth(),
                             probe::nftables_nat()})
    EXPECT_TRUE(status) << status.error().message;
  EXPECT_TRUE(probe::cgroup_freezer());
  EXPECT_FALSE(std::filesystem::exists("/tmp/merged"));
  EXPECT_FALSE(std::filesystem::exists("/sys/class/net/iconcheck"));
  EXPECT_FALSE(std::filesystem::exists("/sys/class/net/icon0"));
  EXPECT_GT(*probe::free_bytes("/nonexistent/below/root"), 0);
  EXPECT_TRUE(probe::has_capability(0));
}

}  // namespace
}  // namespace icon::cli
