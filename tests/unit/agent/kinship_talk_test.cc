// Parent and replica in conversation, each through its own host's socket.
//
//   parent -- parent/supervisor.sock --> its host ==> the child's   (and the other way round)
//
// A host carries words, and says how a replication ended, as a test has it.
#include <boost/asio/post.hpp>
#include <map>
#include <set>

#include "tests/unit/agent/kinship_fixture.h"

namespace icon::agent {
namespace {

constexpr std::size_t kBodyBytesMax = 1 << 20;
constexpr Millis kTick{5'000};

class KinshipTalkTest : public KinshipTest {
 protected:
  KinshipTalkTest() {
    for (auto* host : {&parents_host_, &childs_host_}) {
      host->on("POST", "/v1/self/kin",
               [this](http::Request request) { return carry(std::move(request)); });
      host->on("GET", "/v1/self/migrations/{id}",
               [this](http::Request request) { return show(std::move(request)); });
      host->on("PUT", "/v1/self/guidance",
               [this](http::Request request) { return guide(std::move(request)); });
      host->begin();
    }
  }
  void TearDown() override {
    here_.clear();
    the_parent_.reset();
    the_child_.reset();
    parents_host_.end();
    childs_host_.end();
  }

  KinProcess& parent_begins() {
    the_parent_ = parent();
    here_[parent_.public_key().id()] = the_parent_.get();
    return *the_parent_;
  }
  KinProcess& child_begins() {
    the_child_ = child();
    here_[child_.public_key().id()] = the_child_.get();
    return *the_child_;
  }
  void parent_ends() {
    here_.erase(parent_.public_key().id());
    the_parent_.reset();
  }
  // Parent and child serve, and know of each other.
  void make_family() {
    auto& parent = parent_begins();
    auto& child = child_begins();
    order_child(parent, true);
    parent.kinship->ended("m1", true);
    ASSERT_TRUE(until([&] { return heard_of("serving"); }));
    ASSERT_GT(child.wallet->totals().budget_ucredits, 0);
  }

  template <class Condition>
  bool until(Condition condition) {
    return run_until(loop_, condition);
  }
  // Everything is said, and all questions are answered.
  bool is_quiet(KinProcess& process) {
    return until([&] { return process.tasks.empty(); });
  }
  // Of the first child, as its parent knows it.
  json::Object shown() {
    const auto status = the_parent_->kinship->status();
    return status.at("children").as_array().at(0).as_object();
  }
  UtcMillis heard_ms() { return shown().at("heard_ms").as_int64(); }
  bool heard_of(std::string_view state) {
    return heard_ms() > 0 && shown().at("state").as_string() == state;
  }

  std::map<std::string, int> told_;          // words that left for whom, heard or not
  std::map<std::string, int> asked_;         // after which migration
  std::map<std::string, std::string> ends_;  // of a migration; nothing: the host cannot say yet
  std::string guided_;                       // the last that a host was told
  std::set<std::string> cut_off_;            // words to whom are refused
  std::set<std::string> swallowed_;          // words to whom get no answer
  std::unique_ptr<KinProcess> the_parent_;
  std::unique_ptr<KinProcess> the_child_;

 private:
  Task<http::Response> carry(http::Request request) {
    const auto body = json::parse_object(request.body, kBodyBytesMax);
    const std::string to(body->at("to").as_string());
    ++told_[to];
    if (swallowed_.contains(to)) co_await ScriptedHost::silence();
    if (cut_off_.contains(to))
      co_return http::error_response(Error{Code::kUnavailable, "nobody answers there"});
    std::vector<wire::Envelope> documents;
    for (const auto& document : body->at("documents").as_array())
      documents.push_back(*wire::parse_envelope(document));
    boost::asio::post(loop_, [this, to, documents = std::move(documents)] {
      if (here_.contains(to)) here_[to]->kinship->hear(documents);
    });
    json::Object answer{{"delivered", true}};
    co_return http::json_response(200, std::move(answer));
  }
  Task<http::Response> guide(http::Request request) {
    guided_ = request.body;
    json::Object nothing;
    co_return http::json_response(200, std::move(nothing));
  }
  Task<http::Response> show(http::Request request) {
    const std::string id = request.params["id"];
    ++asked_[id];
    if (!ends_.contains(id))
      co_return http::error_response(Error{Code::kUnavailable, "the host begins"});
    json::Object answer{{"state", ends_[id]}};
    co_return http::json_response(200, std::move(answer));
  }

  ScriptedHost parents_host_{loop_, directory_ / "parent/supervisor.sock"};
  ScriptedHost childs_host_{loop_, directory_ / "child/supervisor.sock"};
  std::map<std::string, KinProcess*> here_;
};

// Users may take an hour to leave. Who says nothing for ten minutes of it is given up.
TEST_F(KinshipTalkTest, AReplicaThatDrainsForLongIsHeardOfUntilItsEnd) {
  make_family();
  auto& child = *the_child_;
  child.policy.replicate.drain_ms = 20 * 60'000;
  child.policy.redirect = RedirectMode::kRedirect;
  TcpSample user;
  user.user = *Address::parse("198.51.100.7");
  child.table.begin_dump();
  child.table.add(user);
  child.table.end_dump();
  child.kinship->lead_away();
  ASSERT_TRUE(until([&] { return guided_.find("everybody") != std::string::npos; }));
  for (Millis passed{0}; passed < Millis(15 * 60'000); passed += kTick) {
    clock_.advance(kTick);
    child.kinship->tick();
    ASSERT_TRUE(until([&] { return heard_ms() == clock_.utc_ms(); })) << "after " << passed.count();
    the_parent_->kinship->tick();
    EXPECT_TRUE(heard_of("draining"));
  }
  clock_.advance(Millis(6 * 60'000));
  ASSERT_TRUE(until([&] { return heard_of("ended") && !child.told.empty(); }));
  EXPECT_EQ(the_parent_->wallet->available(), kKinBudget - 300) << "its share is back";
  EXPECT_TRUE(std::holds_alternative<event::ConnectionsGone>(child.told.front()));
}

// Its parent was silent for a minute, and may hear it all the same.
TEST_F(KinshipTalkTest, WhoHasNobodyLeftTriesToReturnItsPurse) {
  make_family();
  auto& child = *the_child_;
  child.policy.replicate.remember_ms = child.policy.replicate.drain_ms = 0;
  ASSERT_TRUE(is_quiet(child));
  ASSERT_TRUE(is_quiet(*the_parent_));
  const auto parent = parent_.public_key().id();
  cut_off_ = {parent, child_.public_key().id()};
  clock_.advance(kKinSilentMax + Millis(1));
  child.kinship->tick();
  ASSERT_TRUE(is_quiet(child));
  const int told = told_[parent];
  child.kinship->lead_away();
  ASSERT_TRUE(until([&] { return told_[parent] > told; }));
  clock_.advance(Millis(11'000));  // no longer: the parent is not to be agreed with
  ASSERT_TRUE(until([&] { return told_[parent] > told + 1; })) << "the purse goes back";
  cut_off_.clear();
  ASSERT_TRUE(until([&] { return heard_of("ended") && !child.told.empty(); }));
  EXPECT_EQ(the_parent_->wallet->available(), kKinBudget - 300);
}

// The host goes down right after the order, and is back when the child is lost already.
TEST_F(KinshipTalkTest, WhoIsLostBeforeItWasHeardOfIsAskedAfterAndTold) {
  order_child(parent_begins(), true);
  parent_ends();
  auto& child = child_begins();
  clock_.advance(kKinLostMax + kTick);
  ends_["m1"] = "done";
  auto& parent = parent_begins();
  ASSERT_TRUE(until([&] { return heard_of("serving"); }));
  EXPECT_EQ(parent.wallet->totals().spent_ucredits, 300);
  EXPECT_GT(child.wallet->totals().budget_ucredits, 0) << "it has its share";
  EXPECT_EQ(asked_["m1"], 1);
}

TEST_F(KinshipTalkTest, WhoIsLostIsToldAndAskedAfterOnceAMinute) {
  order_child(parent_begins(), true);
  parent_ends();
  clock_.advance(kKinLostMax);
  auto& parent = parent_begins();
  const auto child = child_.public_key().id();
  for (int minute = 1; minute <= 3; ++minute) {
    for (Millis passed{0}; passed < Millis(60'000); passed += kTick) {
      parent.kinship->tick();
      ASSERT_TRUE(is_quiet(parent));
      EXPECT_EQ(asked_["m1"], minute);
      EXPECT_EQ(told_[child], minute);
      clock_.advance(kTick);
    }
  }
}

// A host that is gone answers nothing for seconds.
TEST_F(KinshipTalkTest, TheLostDoNotDelayTheWordsToTheLiving) {
  const auto second = KeyPair::generate();
  auto& parent = parent_begins();
  order_child(parent, true);
  parent.kinship->ended("m1", true);
  clock_.advance(kKinLostMax);
  order(parent, second.public_key(), "m2", true);
  parent.kinship->ended("m2", true);
  const auto lost = child_.public_key().id();
  const auto living = second.public_key().id();
  ASSERT_TRUE(is_quiet(parent));
  swallowed_ = {lost};
  told_.clear();
  for (int i = 1; i <= 3; ++i) {
    parent.kinship->tick();
    ASSERT_TRUE(until([&] { return told_[living] == i && told_[lost] == 1; }));
    clock_.advance(kTick);
  }
}

}  // namespace
}  // namespace icon::agent
