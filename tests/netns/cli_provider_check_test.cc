// `icon provider check` as a stranger runs it, and `dns-records` that go into a real zone: one
// namespace with a real icon-supervisor (203.0.113.10) and knotd (198.51.100.53), which serves a
// signed test. and below it a provider that is right and some that are not.
#include <gmock/gmock.h>

#include <regex>
#include <sstream>

#include "base/keys.h"
#include "cli/app.h"
#include "cli/context.h"
#include "tests/netns/supervisor_host.h"

namespace icon::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kDns = "198.51.100.53";
const std::string kSoa =
    "$TTL 300\n@ SOA ns.example. host.example. 1 3600 600 86400 60\n@ NS ns.example.\n";

class ProviderCheckTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(geteuid(), 0u) << "this test makes a network namespace: run it as root";
    test::run_text("ip -n " + host_.netns() + " addr add " + kDns + "/32 dev lo");
    host_.start();
    if (HasFatalFailure()) return;
    write_zones();
    start_knot();
  }
  void TearDown() override {
    if (knot_) knot_->stop();
    host_.stop(SIGTERM);
  }

  // Runs `icon` inside the namespace.
  int icon(std::vector<std::string> arguments) {
    out_.str("");
    err_.str("");
    int status = -1;
    const auto netns = open_netns(host_.netns());
    EXPECT_TRUE(netns);
    if (!netns) return status;
    const auto entered = in_netns(*netns, [&]() -> Status {
      Context context{out_, err_, clock_};
      context.socket = host_.socket();
      status = run_cli(std::move(arguments), context, ICON_BIN_DIR);
      return {};
    });
    EXPECT_TRUE(entered);
    return status;
  }
  int check(const std::string& domain, bool as_json = false) {
    std::vector<std::string> line{"provider", "check", domain, "--dns", kDns, "--anchor", anchor_};
    if (as_json) line.insert(line.end(), {"-o", "json"});
    return icon(std::move(line));
  }

  std::string directory() const { return host_.directory(); }
  void add_zone(const std::string& zone, const std::string& records) {
    ASSERT_TRUE(write_file_atomic(directory() + "/" + zone + ".zone", kSoa + records, 0644));
    zones_.push_back(zone);
  }
  std::string add_signed(const std::string& zone, const std::string& records) {
    add_zone(zone, records);
    return test::run_text("cd " + directory() + " && ldns-keygen -a ECDSAP256SHA256 -k " + zone +
                          " > key && ldns-signzone -o " + zone + " -f signed " + zone +
                          ".zone $(cat key) && mv signed " + zone + ".zone && ldns-key2ds -n -2 " +
                          "$(cat key).key");
  }

  void write_zones() {
    // Just what a provider is told to do.
    ASSERT_EQ(icon({"provider", "dns-records", "--domain", "edge.test", "--config",
                    directory() + "/config.yaml", "--location", "lab"}),
              kOk)
        << err_.str();
    const auto records = out_.str();
    EXPECT_THAT(records, HasSubstr("icon.edge.test. 3600 IN A 203.0.113.10\n"));
    EXPECT_THAT(records, HasSubstr("id=" + host_.id() + " loc=lab"));
    std::string parent =
        "edge NS ns.example.\nforged NS ns.example.\nother NS ns.example.\n"
        "closed NS ns.example.\nempty NS ns.example.\n";
    parent += add_signed("edge.test", records);
    const auto for_zone = [&](const std::string& zone) {
      return std::regex_replace(records, std::regex("edge\\.test"), zone);
    };
    parent += add_signed("forged.test", for_zone("forged.test"));
    const auto path = directory() + "/forged.test.zone";
    const auto zone = read_file(path, 1 << 20);
    ASSERT_TRUE(zone);
    const auto moved = std::regex_replace(*zone, std::regex("loc=lab"), "loc=moved");
    ASSERT_TRUE(write_file_atomic(path, moved, 0644));
    const auto another = KeyPair::from_seed({7}).id();
    add_zone("other.test",
             std::regex_replace(for_zone("other.test"), std::regex(host_.id()), another));
    add_zone(
        "closed.test",
        "_icon._tcp SRV 1 1 7999 a\n_icon._tcp SRV 2 1 7946 b\na A 203.0.113.10\nb A 10.0.0.1\n"
        "_icon._tcp TXT \"v=icon1 id=" +
            host_.id() + "\"\n");
    add_zone("empty.test", "");
    anchor_ = add_signed("test", parent);
    std::erase(anchor_, '\n');
    add_zone("113.0.203.in-addr.arpa", "10 PTR r1.edge.test.\n");
  }

  void start_knot() {
    std::string config =
        "server:\n    rundir: " + directory() + "\n    listen: " + kDns +
        "@53\n    user: root\n    udp-workers: 1\n    tcp-workers: 1\n"
        "    background-workers: 1\ndatabase:\n    storage: " +
        directory() +
        "\n    timer-db-max-size: 16M\n    journal-db-max-size: 32M\n"
        "    kasp-db-max-size: 16M\nlog:\n  - target: " +
        directory() +
        "/knot.log\n    any: warning\ntemplate:\n  - id: default\n    storage: " + directory() +
        "\n    zonefile-load: whole\n    journal-content: none\nzone:\n";
    for (const auto& zone : zones_)
      config += "  - domain: " + zone + "\n    file: " + zone + ".zone\n";
    ASSERT_TRUE(write_file_atomic(directory() + "/knot.conf", config, 0644));
    ChildProcess::Options options;
    options.argv = {"nsenter", "--net=/run/netns/" + host_.netns(), "knotd", "-c",
                    directory() + "/knot.conf"};
    auto started = ChildProcess::start(std::move(options));
    ASSERT_TRUE(started) << started.error().message;
    knot_.emplace(std::move(*started));
    ASSERT_TRUE(test::eventually([&] {
      return test::run_text("nsenter --net=/run/netns/" + host_.netns() + " kdig +time=1 @" + kDns +
                            " test. SOA")
                 .find("NOERROR") != std::string::npos;
    }));
  }

  test::SupervisorHost host_{"p", "203.0.113.10"};
  std::vector<std::string> zones_;
  std::optional<ChildProcess> knot_;
  std::string anchor_;
  SystemClock clock_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(ProviderCheckTest, SaysWhatIsRightAndHowToMendWhatIsNot) {
  EXPECT_EQ(check("edge.test"), kOk) << out_.str() << err_.str();
  EXPECT_THAT(out_.str(), Not(HasSubstr("->"))) << out_.str();
  for (const char* line :
       {"secure: the records are proven", "10 10 icon.edge.test:7946",
        "reachable 203.0.113.10:7946", "the one that TXT names", "credits for half a core",
        "pings 203.0.113.10:7946", "signed; it answers within its limits", "r1.edge.test",
        "ICONs can find edge.test and buy there."})
    EXPECT_THAT(out_.str(), HasSubstr(line));

  EXPECT_EQ(check("forged.test"), kFailed);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("DNSSEC: bogus"), HasSubstr("Sign the zone again")));

  EXPECT_EQ(check("other.test"), kFailed);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("another than announced"), HasSubstr(host_.id()),
                                HasSubstr("Publish the host's id"),
                                HasSubstr("insecure: the zone is not signed")));

  EXPECT_EQ(check("closed.test", true), kFailed);
  EXPECT_THAT(out_.str(), HasSubstr(R"("ok":false)"));
  EXPECT_THAT(out_.str(), HasSubstr(R"("name":"reachable 203.0.113.10:7999","state":"fail")"));
  EXPECT_THAT(out_.str(), HasSubstr("10.0.0.1 is not a public address"));

  EXPECT_EQ(check("empty.test"), kFailed);
  EXPECT_THAT(out_.str(), HasSubstr("-> icon provider dns-records --domain empty.test"));

  EXPECT_EQ(check("r1.edge.test"), kFailed);
  EXPECT_THAT(out_.str(), HasSubstr("Publish the records under edge.test"));
  EXPECT_EQ(check("a b"), kUsage);
  EXPECT_EQ(icon({"provider", "check"}), kUsage);
}

}  // namespace
}  // namespace icon::cli
