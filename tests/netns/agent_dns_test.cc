// The service's name in its owner's DNS, kept by the agent: a real knotd beside it at 127.0.0.1.
// The world is drawn in agent_world.h.
#include "agent_dns.h"

#include <sys/time.h>

#include <ctime>

#include "agent/dns_update.h"
#include "agent_world.h"

namespace {
thread_local std::time_t clock_error_s = 0;
}

// The clock as libldns reads it.
extern "C" int gettimeofday(timeval* now, void*) noexcept {
  timespec exact{};
  clock_gettime(CLOCK_REALTIME, &exact);
  *now = {exact.tv_sec + clock_error_s, exact.tv_nsec / 1000};
  return 0;
}

namespace icon::agent {
namespace {

using ::testing::Not;

class AgentDnsTest : public AgentSupervisorTest {
 protected:
  void SetUp() override {
    AgentSupervisorTest::SetUp();
    dns_.emplace(host_, "127.0.0.1", run_dir_ + "/dns");
    dns_->start("hand A 192.0.2.77\nalias CNAME hand\n");
  }
  void TearDown() override {
    if (dns_) dns_->stop();
    AgentSupervisorTest::TearDown();
  }

  DnsRequest request(const std::string& name, const std::vector<const char*>& want) {
    DnsRequest request{*Endpoint::parse("127.0.0.1:53"),
                       "dyn.test",
                       name,
                       dns_->good_key(),
                       30,
                       "me",
                       {},
                       SystemClock().utc_ms()};
    for (const char* address : want) request.want.push_back(*Address::parse(address));
    return request;
  }
  DnsOutcome update(const DnsRequest& request) const {
    DnsOutcome outcome;
    const auto netns = open_netns(host_);
    EXPECT_TRUE(in_netns(*netns, [&]() -> Status {
      outcome = update_dns(request);
      return {};
    }));
    return outcome;
  }
  std::string refusal(DnsRequest request, const std::string& key_line) {
    request.key_file = dns_->key_file("bad", key_line);
    return update(request).code;
  }
  json::Object dns_status() const {
    const auto* status = fake_->status.if_contains("dns");
    return status == nullptr ? json::Object{} : status->as_object();
  }
  std::string dns_state() const {
    const auto status = dns_status();
    return status.empty() ? "" : std::string(status.at("state").as_string());
  }
  bool leads_to(const std::string& addresses) {
    return fake_->run_until([&] { return dns_->of("www.dyn.test", "A") == addresses; });
  }

  std::optional<test::UpdatedDns> dns_;
};

TEST_F(AgentDnsTest, ChangesWhatIsItsOwn) {
  const auto both = update(request("www.dyn.test", {"192.0.2.1", "2001:db8::1"}));
  EXPECT_EQ(both.code, "") << both.message;
  EXPECT_EQ(both.added.size(), 2U);
  EXPECT_EQ(dns_->of("www.dyn.test", "A"), "192.0.2.1\n");
  EXPECT_EQ(dns_->of("www.dyn.test", "AAAA"), "2001:db8::1\n");
  EXPECT_THAT(dns_->of("_icon.www.dyn.test", "TXT"), HasSubstr("v=icon1 id=me a=192.0.2.1"));
  const auto same = update(request("www.dyn.test", {"192.0.2.1", "2001:db8::1"}));
  EXPECT_TRUE(same.code.empty() && same.added.empty() && same.removed.empty());
  // Another ICON at the same host, and one of its own.
  auto other = request("www.dyn.test", {"192.0.2.1", "192.0.2.2"});
  other.owner = "you";
  EXPECT_EQ(update(other).code, "");
  const auto gone = update(request("www.dyn.test", {}));
  EXPECT_EQ(gone.code, "") << gone.message;
  EXPECT_EQ(dns_->of("www.dyn.test", "A"), "192.0.2.1\n192.0.2.2\n");
  EXPECT_EQ(dns_->of("www.dyn.test", "AAAA"), "");
  other.want.clear();
  EXPECT_EQ(update(other).removed.size(), 2U);
  EXPECT_EQ(dns_->of("www.dyn.test", "A") + dns_->of("_icon.www.dyn.test", "TXT"), "");
  // What was there by hand is used and stays; an alias is left alone.
  EXPECT_EQ(update(request("hand.dyn.test", {"192.0.2.77", "192.0.2.3"})).foreign.size(), 1U);
  EXPECT_EQ(dns_->of("hand.dyn.test", "A"), "192.0.2.3\n192.0.2.77\n");
  EXPECT_EQ(update(request("hand.dyn.test", {})).removed.size(), 1U);
  EXPECT_EQ(dns_->of("hand.dyn.test", "A"), "192.0.2.77\n");
  EXPECT_EQ(update(request("alias.dyn.test", {"192.0.2.3"})).code, "alias");
}

// One whose host has died renews nothing. Whoever keeps the name afterwards clears up behind it.
TEST_F(AgentDnsTest, AnHeirTakesAwayWhatTheDeadHaveLeft) {
  auto dead = request("www.dyn.test", {"192.0.2.1", "192.0.2.2", "192.0.2.3"});
  dead.owner = "dead";
  ASSERT_EQ(update(dead).code, "");
  auto sibling = request("www.dyn.test", {"192.0.2.2"});
  sibling.owner = "sibling";
  sibling.now_ms = dead.now_ms + kDnsMarkLife.count();
  ASSERT_EQ(update(sibling).code, "");
  auto heir = request("www.dyn.test", {"192.0.2.3", "192.0.2.4"});
  heir.now_ms = dead.now_ms + kDnsMarkLife.count() + kDnsMarkGrace.count();
  ASSERT_EQ(update(heir).code, "");
  EXPECT_EQ(dns_->of("www.dyn.test", "A"), "192.0.2.1\n192.0.2.2\n192.0.2.3\n192.0.2.4\n");
  heir.now_ms += 1;
  const auto outcome = update(heir);
  EXPECT_EQ(outcome.code, "") << outcome.message;
  EXPECT_EQ(outcome.removed, std::vector<Address>{*Address::parse("192.0.2.1")});
  EXPECT_EQ(dns_->of("www.dyn.test", "A"), "192.0.2.2\n192.0.2.3\n192.0.2.4\n");
  EXPECT_THAT(dns_->of("_icon.www.dyn.test", "TXT"), Not(HasSubstr("id=dead")));
  // What it has taken over it takes along.
  heir.want.clear();
  EXPECT_EQ(update(heir).removed.size(), 2U);
  EXPECT_EQ(dns_->of("www.dyn.test", "A"), "192.0.2.2\n");
}

// Each changes the name only as it has seen it, so that nobody undoes another's change.
TEST_F(AgentDnsTest, ManyMayKeepOneName) {
  constexpr int kWriters = 6;
  std::vector<std::thread> writers;
  for (int i = 0; i < kWriters; ++i)
    writers.emplace_back([this, i, wish = request("www.dyn.test", {})]() mutable {
      wish.owner = "icon-" + std::to_string(i);
      wish.want = {Address::v4({192, 0, 2, static_cast<std::uint8_t>(i + 1)})};
      std::string code = "contended";
      for (int attempt = 0; attempt < 50 && code == "contended"; ++attempt)
        code = update(wish).code;
      EXPECT_EQ(code, "");
    });
  for (auto& writer : writers) writer.join();
  const auto all = dns_->of("www.dyn.test", "A");
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), kWriters) << all;
  const auto marks = dns_->of("_icon.www.dyn.test", "TXT");
  EXPECT_EQ(std::count(marks.begin(), marks.end(), '\n'), kWriters) << marks;
}

TEST_F(AgentDnsTest, SaysWhyItIsRefused) {
  const auto wish = request("www.dyn.test", {"192.0.2.1"});
  const std::string secret = test::kDnsSecret;
  EXPECT_EQ(refusal(wish, "nobody.key:" + secret), "badkey");
  EXPECT_EQ(refusal(wish, "icon.key:b3RoZXItc2VjcmV0"), "badsig");
  EXPECT_EQ(refusal(wish, "weak.key:" + secret), "badkey");  // knot says no more than that
  auto elsewhere = wish;
  elsewhere.zone = "test";
  EXPECT_EQ(update(elsewhere).code, "notauth");
  elsewhere = wish;
  elsewhere.zone = elsewhere.name = "other.test";
  EXPECT_EQ(update(elsewhere).code, "refused");
  for (const int wrong_by_s : {-400, 400}) {
    clock_error_s = wrong_by_s;
    EXPECT_EQ(update(wish).code, "badtime") << wrong_by_s;
  }
  clock_error_s = 200;  // which is tolerated
  EXPECT_EQ(update(wish).code, "");
  clock_error_s = 0;
  EXPECT_EQ(update(request("www.dyn.test", {})).removed.size(), 1U);
  auto open = wish;
  open.key_file = dns_->key_file("open", "icon.key:" + secret, 0640);
  EXPECT_THAT(update(open).message, HasSubstr("chmod 600"));
  open.key_file = dns_->key_file("broken", "icon.key=" + secret);
  const auto broken = update(open);
  EXPECT_EQ(broken.code, "key_file");
  EXPECT_THAT(broken.message, Not(HasSubstr(secret)));
  dns_->stop();
  EXPECT_EQ(update(wish).code, "unreachable");
  dns_->start();
  EXPECT_EQ(dns_->of("www.dyn.test", "A"), "");
  EXPECT_EQ(update(wish).code, "");
}

// Everything of a round is cancelled when the service ends, but not the last update.
TEST_F(AgentDnsTest, AServiceThatEndsWithinARoundLeavesTheName) {
  fake_->holds_offers = true;
  start_agent(
      policy("value: 5\ndns_update: {server: 127.0.0.1, zone: dyn.test, name: "
             "www.dyn.test, own: replace, key_file: " +
             dns_->good_key() + "}\n"));
  start_users(4);
  ASSERT_TRUE(leads_to("192.0.2.1\n"));
  ASSERT_TRUE(fake_->run_until([&] { return fake_->offers_asked > 0; }));
  agent_->signal(SIGTERM);
  EXPECT_EQ(agent_->wait(kLimit), 128 + SIGTERM);
  EXPECT_EQ(dns_->of("www.dyn.test", "A") + dns_->of("_icon.www.dyn.test", "TXT"), "");
}

TEST_F(AgentDnsTest, TheAgentKeepsTheNameThroughMovesAndRestarts) {
  const std::string keep = "value: 5\ndns_update: {server: 127.0.0.1, zone: dyn.test, name: " +
                           std::string("www.dyn.test, own: add, key_file: ") + dns_->good_key() +
                           "}\n";
  start_agent(policy(keep));
  start_users(4);
  ASSERT_TRUE(leads_to("192.0.2.1\n"));
  // It moves: the stub of the old host still serves whoever comes there.
  ASSERT_TRUE(fake_->run_until([&] { return fake_->orders.size() == 1 && !fake_->connected(); }));
  expect_only_travelling_descriptors();
  fake_->become(near_);
  agent_->signal(SIGUSR1);
  ASSERT_TRUE(fake_->run_until([&] { return fake_->connected(); }));
  fake_->send({{"event", "moved"},
               {"migration", fake_->orders.back().migration_id},
               {"epoch", fake_->epoch}});
  ASSERT_TRUE(leads_to("192.0.2.1\n192.0.2.10\n")) << dns_->of("www.dyn.test", "A");
  // Without the server a wish waits, and says so; nothing else does.
  dns_->stop();
  kill_agent();
  fake_->public_address = "192.0.2.11";
  start_agent(policy(keep));
  ASSERT_TRUE(fake_->run_until([&] { return dns_state() == "failing"; }));
  EXPECT_EQ(dns_status().at("code").as_string(), "unreachable");
  EXPECT_EQ(lifecycle(), "ACTIVE");
  dns_->start();
  ASSERT_TRUE(leads_to("192.0.2.1\n192.0.2.10\n192.0.2.11\n"));
  ASSERT_TRUE(fake_->run_until([&] { return dns_state() == "ok"; }));
  // It ends: nobody is led to where nobody is.
  agent_->signal(SIGTERM);
  EXPECT_EQ(agent_->wait(kLimit), 128 + SIGTERM);
  EXPECT_EQ(dns_->of("www.dyn.test", "A") + dns_->of("_icon.www.dyn.test", "TXT"), "");
  EXPECT_THAT(log_text(), Not(HasSubstr(test::kDnsSecret)));
  EXPECT_THAT(log_text(), HasSubstr("dns.failed"));
}

}  // namespace
}  // namespace icon::agent
