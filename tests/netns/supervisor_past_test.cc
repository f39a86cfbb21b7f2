// What the real daemon forgets of the past, and what it still explains:
//
//   namespace icon-core-<pid>a: lo 192.0.2.10, icon-supervisor with a journal that has a past
#include "base/keys.h"
#include "supervisor/forgetting.h"
#include "supervisor/journal.h"
#include "tests/netns/supervisor_host.h"
#include "wire/overlay.h"

namespace icon::test {
namespace {

using supervisor::Journal;

class SupervisorPastTest : public ::testing::Test {
 protected:
  SupervisorPastTest() { std::filesystem::create_directories(host_.directory() + "/state"); }

  std::unique_ptr<Journal> journal() {
    auto opened = Journal::open(host_.directory() + "/state/journal.db");
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? std::move(*opened) : nullptr;
  }
  // It moved to `peer_`; what it decided is as old as its move.
  void moved(Journal& journal, const KeyPair& icon, const std::string& name, UtcMillis ended_ms) {
    supervisor::IconRecord row;
    row.id = icon.id();
    row.name = row.spec.name = name;
    row.spec.command = {"redis-server"};
    row.state = supervisor::icon_state::kMoved;
    row.overlay = wire::overlay_address(icon.public_key());
    ASSERT_TRUE(journal.put_icon(row));
    ASSERT_TRUE(journal.put_value("stub_hosts/" + icon.id(), "[]"));
    supervisor::MigrationRecord move;
    move.id = "move-of-" + name;
    move.icon = icon.id();
    move.icon_name = name;
    move.role = "source";
    move.peer = peer_.id();
    move.state = "done";
    move.started_ms = ended_ms - 1'000;
    move.ended_ms = ended_ms;
    ASSERT_TRUE(journal.put_migration(move));
    ASSERT_TRUE(journal.put_decision(
        {"decision-of-" + name, icon.id(), ended_ms, "move", {{"why", "nearer to " + name}}}));
  }
  void stub(Journal& journal, const KeyPair& icon, const std::string& name, UtcMillis until_ms) {
    supervisor::StubRecord stub;
    stub.icon = icon.id();
    stub.icon_name = name;
    stub.next_host = peer_.id();
    stub.next_api = *Endpoint::parse("192.0.2.20:7946");
    stub.next_public = *Address::parse("192.0.2.20");
    stub.mode = "forward";
    stub.epoch = 2;
    stub.until_ms = until_ms;
    stub.details = {{"overlay", wire::overlay_address(icon.public_key()).to_string()},
                    {"ports", json::Array{}}};
    ASSERT_TRUE(journal.put_stub(stub));
    ASSERT_TRUE(journal.put_tunnel(peer_.id(), {{"api", "192.0.2.20:7946"}}));
  }
  std::size_t count(const std::string& target, const char* key) {
    const auto answer = host_.get(target);
    const auto* list = answer.if_contains(key);
    return list != nullptr && list->is_array() ? list->get_array().size() : 0;
  }
  std::string state_of_icons() {
    std::string states;
    const auto answer = host_.get("/v1/icons");
    for (const auto& icon : answer.at("icons").as_array())
      states += SupervisorHost::text(icon.as_object(), "name") + " " +
                SupervisorHost::text(icon.as_object(), "state") + "; ";
    return states;
  }

  static constexpr UtcMillis kDay = 24LL * 3600 * 1000;
  const UtcMillis now_ = SystemClock().utc_ms();
  const KeyPair peer_ = KeyPair::generate();
  SupervisorHost host_{"a", "192.0.2.10"};
};

TEST_F(SupervisorPastTest, AMoveIsExplainedForAMonthAndItsNameIsFreeBefore) {
  const auto lately = KeyPair::generate();
  const auto long_ago = KeyPair::generate();
  {
    const auto journal = this->journal();
    ASSERT_TRUE(journal);
    moved(*journal, lately, "lately", now_ - 29 * kDay);
    moved(*journal, long_ago, "long-ago", now_ - supervisor::kPastKept.count() - kDay);
  }
  host_.start();
  ASSERT_TRUE(eventually([&] { return count("/v1/migrations", "migrations") == 1; }))
      << host_.log();
  EXPECT_EQ(state_of_icons(), "") << "no stub leads to either";
  // By name, by the beginning of its id, by its id.
  for (const auto& name : {std::string("lately"), lately.id().substr(0, 8), lately.id()})
    EXPECT_EQ(count("/v1/decisions?icon=" + name, "decisions"), 1u) << name;
  const auto explained = run_text(std::string(ICON_BIN_DIR) + "/icon --socket " + host_.socket() +
                                  " explain lately -o json");
  EXPECT_NE(explained.find("nearer to lately"), std::string::npos) << explained;
  EXPECT_EQ(host_.ask("GET", "/v1/migrations/move-of-lately")->status, 200);
  EXPECT_EQ(count("/v1/decisions?icon=" + long_ago.id(), "decisions"), 0u);
  EXPECT_EQ(host_.ask("GET", "/v1/migrations/move-of-long-ago")->status, 404);

  host_.run_icon("lately", R"(["icon-core-echo","echo","7000"])", "[]");
  EXPECT_EQ(host_.ask("DELETE", "/v1/icons/lately?grace_ms=2000")->status, 200);
  EXPECT_EQ(host_.left_overs(), "");
  host_.stop(SIGTERM);
  EXPECT_TRUE(journal()->values("stub_hosts/")->empty());
}

TEST_F(SupervisorPastTest, WithItsStubAMovedIconIsForgotten) {
  const auto icon = KeyPair::generate();
  {
    const auto journal = this->journal();
    ASSERT_TRUE(journal);
    moved(*journal, icon, "redis", now_);
    stub(*journal, icon, "redis", now_ + 5 * kDay);
  }
  host_.start();
  EXPECT_EQ(state_of_icons(), "redis moved; ");
  host_.run_icon("redis", R"(["icon-core-echo","echo","7000"])", "[]", 409);
  host_.stop(SIGTERM);
  stub(*journal(), icon, "redis", now_);
  host_.start();
  ASSERT_TRUE(eventually([&] { return state_of_icons().empty(); })) << host_.log();
  EXPECT_EQ(count("/v1/stubs", "stubs"), 0u);
  EXPECT_EQ(count("/v1/decisions?icon=redis", "decisions"), 1u);
  EXPECT_EQ(host_.ask("GET", "/v1/icons/redis")->status, 404);
}

}  // namespace
}  // namespace icon::test
