// The service's name in its owner's DNS on the real kernel: the key that `icon run` was given,
// moves by CRIU, replicas that come and go, and hosts that die. The world is drawn in life_world.h;
// knot runs beside users-b.
#include <stdlib.h>

#include <boost/json/serialize.hpp>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <set>
#include <sstream>

#include "tests/eventually.h"
#include "tests/lab/life_world.h"
#include "tests/lab/process_memory.h"
#include "tests/netns/agent_dns.h"

namespace icon::lab {
namespace {

constexpr Millis kSilenceMax{120'000};  // a minute, until a host counts as dead, and what follows
constexpr std::size_t kFileBytesMax = 64 << 20;

class NamesTest : public LifeTest {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/icon-names.XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
    LifeTest::SetUp();
  }
  void TearDown() override {
    if (dns_) dns_->stop();
    dns_.reset();
    LifeTest::TearDown();
    std::filesystem::remove_all(directory_);
  }

  // Cheap enough for what a replica has of its parent's purse, and better for nobody.
  void change(DemoWorldOptions& options) override { options.prices_ucredits["dear"] = 400'000; }
  std::string policy_text() override {
    const auto server = address("users-b").to_string();
    dns_.emplace(world_->lab().netns("users-b"), server, directory_);
    dns_->start();
    key_file_ = dns_->good_key();
    policy_ = std::string(kPolicy) + "dns_update: {server: " + server +
              ", zone: dyn.test, name: www.dyn.test, own: replace}\nproviders:\n";
    for (const std::string node : {"dear", "edge-a"})  // an order finds them before any user comes
      policy_ += "  - {name: " + node + ", api: \"" + address(node).to_string() + ":7946\"}\n";
    return policy_;
  }
  std::vector<std::string> more_words() override { return {"--dns-key", key_file_}; }

  std::string name() const { return dns_->of("www.dyn.test", "A"); }
  bool leads_to(const std::set<std::string>& nodes, Millis limit = kChangeMax) {
    std::set<std::string> lines;
    for (const auto& node : nodes) lines.insert(served_at(node));
    return eventually(
        [&] {
          std::istringstream text(name());
          std::set<std::string> now;
          for (std::string line; std::getline(text, line);) now.insert(line);
          return now == lines;
        },
        limit);
  }
  ::testing::AssertionResult move(const std::string& from, const std::string& to) {
    const auto said = world_->run_icon(from, {"migrate", "life", "--to", served_at(to) + ":7946"});
    if (!said) return ::testing::AssertionFailure() << said.error().message;
    if (!eventually([&] { return state_at(to) == "running"; }))
      return ::testing::AssertionFailure() << "it is " << state_at(to) << " at " << to;
    return ::testing::AssertionSuccess();
  }
  std::string text_of_dns(const std::string& host, const char* field) const {
    const auto status = status_at(host);
    if (!status.contains("dns") || !status.at("dns").as_object().contains(field)) return "";
    return std::string(status.at("dns").as_object().at(field).as_string());
  }
  // The agent's child is at work beside it.
  bool is_updating(const std::string& host) const {
    std::error_code error;
    const auto agent = "/proc/" + std::to_string(life_at(host).at("pid").as_int64());
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      if (std::atoi(entry.path().filename().c_str()) == 0) continue;
      const auto words = read_file(entry.path().string() + "/cmdline", 1 << 16).value_or("");
      if (words.find("dns-update") != std::string::npos &&
          std::filesystem::equivalent(entry.path() / "ns/net", agent + "/ns/net", error))
        return true;
    }
    return false;
  }
  void expect_key_only_at(const std::string& host) const;
  std::size_t icons_at_origin() const {
    const auto body = world_->get("origin", "/v1/icons");
    return body ? body->at("icons").as_array().size() : 0;
  }

  std::string directory_;
  std::string key_file_;
  std::string policy_;
  std::optional<test::UpdatedDns> dns_;
};

// Everywhere below `directory` where `needle` is.
std::vector<std::filesystem::path> files_with(const std::string& directory,
                                              const std::string& needle) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, error)) {
    if (entry.is_symlink() || !entry.is_regular_file()) continue;
    const auto text = read_file(entry.path().string(), kFileBytesMax);
    EXPECT_TRUE(text) << entry.path();
    if (text && text->find(needle) != std::string::npos) found.push_back(entry.path());
  }
  return found;
}

// Of all processes: their words and their environment.
std::string processes_with(const std::string& needle) {
  std::string found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    if (std::atoi(entry.path().filename().c_str()) == 0) continue;
    for (const char* file : {"/cmdline", "/environ"}) {
      const auto text = read_file(entry.path().string() + file, 1 << 20).value_or("");
      if (text.find(needle) != std::string::npos) found += entry.path().string() + file + " ";
    }
  }
  return found;
}

// Nobody but the ICON's own directory at `host` has it, and there nobody else can read it.
void NamesTest::expect_key_only_at(const std::string& host) const {
  for (const auto& each : world_->hosts()) {
    // What has left is removed a moment later, and not under our eyes.
    const auto removed = world_->lab().host_directory(each) + "/state/removed";
    EXPECT_TRUE(icon::test::eventually([&] {
      std::error_code error;
      return !std::filesystem::exists(removed, error) || std::filesystem::is_empty(removed, error);
    })) << removed;
    const auto found = files_with(world_->lab().host_directory(each), test::kDnsSecret);
    EXPECT_EQ(found.size(), each == host ? 1U : 0U)
        << each << ", first " << (found.empty() ? "" : found.front().string());
    for (const auto& file : found) {
      EXPECT_TRUE(file.string().ends_with("/run/state/dns.key")) << file;
      EXPECT_EQ(std::filesystem::status(file).permissions() & std::filesystem::perms::mask,
                std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    }
    EXPECT_TRUE(files_with(world_->lab().host_directory(each), test::kDnsSecretBytes).empty());
  }
}

TEST_F(NamesTest, TheKeyIsInOneFileAndTheNameGoesWithTheIcon) {
  ASSERT_TRUE(leads_to({"origin"})) << name();
  expect_key_only_at("origin");
  const std::string secret = test::kDnsSecret;
  EXPECT_EQ(processes_with(secret), "");
  const auto pid = life_at("origin").at("pid").as_int64();
  EXPECT_TRUE(holds(pid, "www.dyn.test"));  // it is looked for well
  EXPECT_FALSE(holds(pid, secret));
  EXPECT_FALSE(holds(pid, test::kDnsSecretBytes));
  for (const std::vector<std::string>& words : {std::vector<std::string>{"ps", "-o", "json"},
                                                {"status"},
                                                {"status", "-o", "json"},
                                                {"explain", "life"},
                                                {"explain", "life", "-o", "json"},
                                                {"logs", "life"},
                                                {"providers", "life"}}) {
    const auto said = world_->run_icon("origin", words);
    EXPECT_TRUE(said) << words.front() << ": " << said.error().message;
    EXPECT_EQ(said.value_or("").find(secret), std::string::npos) << words.front();
  }
  for (const char* target : {"/v1/icons", "/v1/icons/life", "/v1/status", "/v1/migrations"}) {
    const auto said = world_->get("origin", target);
    ASSERT_TRUE(said) << target;
    EXPECT_EQ(boost::json::serialize(*said).find(secret), std::string::npos) << target;
  }

  // A key that is none starts nothing.
  const auto refused = [&](const std::string& line, const std::string& why, unsigned mode = 0600) {
    key_file_ = dns_->key_file("bad", line, mode);
    const auto said = run("other", kPort + 1, policy_);
    ASSERT_FALSE(said) << why;
    EXPECT_NE(said.error().message.find(why), std::string::npos) << said.error().message;
    EXPECT_EQ(said.error().message.find(secret), std::string::npos);
  };
  refused("icon.key:" + secret, "chmod 600", 0644);
  refused("hmac-md5:icon.key:" + secret, "algorithm");
  refused("icon.key:" + secret.substr(1), "no base64");
  refused("secret=" + secret, "[ALGORITHM:]NAME:SECRET");
  refused("#" + std::string(5000, 'x') + "\nicon.key:" + secret, "larger than 4096");
  EXPECT_EQ(icons_at_origin(), 1U);

  const auto stopped = world_->run_icon("origin", {"stop", "life"});
  ASSERT_TRUE(stopped) << stopped.error().message;
  EXPECT_EQ(name() + dns_->of("_icon.www.dyn.test", "TXT"), "");
  expect_key_only_at("nowhere");
}

// The server takes connections and says nothing: what is under way when the ICON is frozen ends
// there, and begins again at the next host.
TEST_F(NamesTest, NoMoveWaitsForAnUpdate) {
  ASSERT_TRUE(leads_to({"origin"})) << name();
  dns_->pause();
  ASSERT_TRUE(move("origin", "dear"));
  ASSERT_TRUE(eventually([&] { return text_of_dns("dear", "code") == "unreachable"; }));
  ASSERT_TRUE(eventually([&] { return is_updating("dear"); }));
  ASSERT_TRUE(move("dear", "edge-a"));
  dns_->resume();
  ASSERT_TRUE(leads_to({"edge-a"})) << name();
  ASSERT_TRUE(eventually([&] { return text_of_dns("edge-a", "state") == "ok"; }));
}

TEST_F(NamesTest, AReplicaIsInTheNameAsLongAsItServes) {
  Group near_a(world_->lab(), "users-a", address("origin"));
  Group near_b(world_->lab(), "users-b", address("origin"));
  ASSERT_TRUE(eventually([&] { return state_at("edge-b") == "running"; })) << near_b.told();
  ASSERT_TRUE(leads_to({"edge-a", "edge-b"})) << name();
  expect_key_only_at("edge-a");  // it has moved on, and a clone has none
  // Its users leave, and so does it.
  near_b.keep(0);
  ASSERT_TRUE(leads_to({"edge-a"})) << name();
  ASSERT_TRUE(eventually([&] { return state_at("edge-b") == "stopped"; })) << state_at("edge-b");
  EXPECT_EQ(dns_->of("_icon.www.dyn.test", "TXT").find(served_at("edge-b") + " "),
            std::string::npos);
}

// A replica's host is cut off: for its family it is dead, and its own replica an orphan.
TEST_F(NamesTest, TheDeadLeaveTheNameAndTheAdoptedCome) {
  Group near_a(world_->lab(), "users-a", address("origin"));
  Group near_b(world_->lab(), "users-b", address("origin"));
  ASSERT_TRUE(eventually([&] { return state_at("edge-b") == "running"; })) << near_b.told();
  ASSERT_TRUE(leads_to({"edge-a", "edge-b"})) << name();
  ASSERT_TRUE(eventually([&] {
    const auto status = status_at("edge-b");
    return status.contains("purse") &&
           status.at("purse").as_object().at("budget_ucredits").as_int64() > 400'000;
  }));
  const auto ordered =
      world_->run_icon("edge-b", {"replicate", "life", "--to", served_at("dear") + ":7946"});
  ASSERT_TRUE(ordered) << ordered.error().message;
  // It has heard of its parent, and so where its parent's is.
  const auto parent = std::string(life_at("edge-b").at("id").as_string());
  ASSERT_TRUE(eventually([&] {
    const auto status = status_at("dear");
    if (!status.contains("family") || !status.at("family").as_object().contains("parent"))
      return false;
    const auto& known = status.at("family").as_object().at("parent").as_object();
    return known.at("icon").as_string() == parent && known.at("heard_ms").as_int64() > 0;
  }));
  EXPECT_TRUE(leads_to({"edge-a", "edge-b"})) << name();
  ASSERT_TRUE(world_->lab().set_link("edge-b", {.up = false}));
  EXPECT_TRUE(leads_to({"edge-a", "dear"}, kSilenceMax)) << name();
}

}  // namespace
}  // namespace icon::lab
