// The agent as a tenant and as a bidder: renewals, bills, disputes, the end of a lease, sealed
// bids. The world is drawn in agent_world.h.
#include "agent_world.h"

namespace icon::agent {
namespace {

// What it takes from `near` on: there, under a lease of some seconds.
class AgentLeaseTest : public AgentSupervisorTest {
 protected:
  void SetUp() override {
    AgentSupervisorTest::SetUp();
    other_.name = "other";
    other_.api = "192.0.2.13:7946";
    other_.price_ucredits = 2'000;
    fake_->providers[other_.api] = &other_;
  }
  void move_to_near(const std::string& more) {
    start_agent(policy("  - {name: other, id: " + other_.key.id() + ", api: \"" + other_.api +
                       "\"}\nvalue: 5\n" + more));
    start_users(4);
    follow(near_, 1);
  }
  // The freeze and the wake at `to` of the n-th order.
  void follow(const FakeProvider& to, std::size_t n) {
    ASSERT_TRUE(fake_->run_until([&] { return fake_->orders.size() == n && !fake_->connected(); }));
    const auto& order = fake_->orders.back();
    ASSERT_EQ(order.to, to.key.public_key());
    leases_.push_back(order.lease_id);
    fake_->become(to);
    agent_->signal(SIGUSR1);
    ASSERT_TRUE(fake_->run_until([&] { return fake_->connected(); }));
    fake_->send({{"event", "moved"}, {"migration", order.migration_id}, {"epoch", fake_->epoch}});
  }
  json::Object lease(std::size_t index) const {
    const auto* rows = fake_->status.if_contains("leases");
    if (rows == nullptr || rows->as_array().size() <= index) return {};
    return rows->as_array()[index].as_object();
  }
  std::string lease_state(std::size_t index) const {
    const auto row = lease(index);
    return row.empty() ? "" : std::string(row.at("state").as_string());
  }

  FakeProvider other_;
  std::vector<std::string> leases_;
};

TEST_F(AgentLeaseTest, RenewsInTimeAndGetsBackWhatItDidNotUse) {
  fake_->lose_next_renewal = true;
  ASSERT_NO_FATAL_FAILURE(move_to_near("slot: {duration: 4s}\n"));
  // Longer than the slot, with an answer that is lost: it asks with the same words again.
  ASSERT_TRUE(fake_->run_until([&] { return fake_->renewals.size() == 2; }));
  ASSERT_TRUE(fake_->run_until([&] {
    return purse("spent_ucredits") == 3 * near_.price_ucredits && purse("held_ucredits") == 0;
  }));
  EXPECT_EQ(fake_->renewals[0].sequence, 1);
  EXPECT_EQ(fake_->renewals[1].sequence, 2);
  EXPECT_EQ(lifecycle(), "ACTIVE");
  EXPECT_EQ(lease(0).at("renewals").as_int64(), 2);
  EXPECT_EQ(lease(0).at("paid_ucredits").as_int64(), 3 * near_.price_ucredits);

  // It leaves, and the bill says that 5 of 12 s were used.
  fake_->send({{"event", "migrate"}, {"to", "other"}});
  ASSERT_NO_FATAL_FAILURE(follow(other_, 2));
  fake_->close_lease(leases_[0], near_, 5);
  ASSERT_TRUE(fake_->run_until([&] { return lease_state(0) == "settled"; }));
  EXPECT_EQ(lease(0).at("charged_ucredits").as_int64(), 1'250);
  EXPECT_EQ(lease(0).at("refunded_ucredits").as_int64(), 1'750);
  EXPECT_EQ(lease(0).at("dispute").as_string(), "");
  EXPECT_EQ(lease_state(1), "here");
  ASSERT_TRUE(fake_->run_until(
      [&] { return purse("spent_ucredits") == 1'250 + lease(1).at("paid_ucredits").as_int64(); }));
  const auto documents = ledger();
  EXPECT_EQ(documents.count("receipt"), 1U);
  EXPECT_GE(documents.at("renewed_lease"), 2);
  EXPECT_EQ(documents.count("dispute"), 0U);
}

TEST_F(AgentLeaseTest, ContestsABillForTimeInWhichItWasNotThere) {
  near_.price_ucredits = 60'000;
  ASSERT_NO_FATAL_FAILURE(move_to_near("slot: {duration: 10m}\n"));
  fake_->send({{"event", "migrate"}, {"to", "other"}});
  ASSERT_NO_FATAL_FAILURE(follow(other_, 2));
  fake_->close_lease(leases_[0], near_, 500);
  ASSERT_TRUE(fake_->run_until([&] { return lease_state(0) == "settled"; }));
  EXPECT_THAT(std::string(lease(0).at("dispute").as_string()), HasSubstr("500 s are charged"));
  EXPECT_THAT(log_text(), HasSubstr("receipt.disputed"));
  EXPECT_EQ(ledger().at("dispute"), 1);
  // What the provider grants is booked all the same.
  EXPECT_EQ(lease(0).at("refunded_ucredits").as_int64(), 10'000);
}

TEST_F(AgentLeaseTest, EndsWithItsLeaseThoughNobodyAnswersAnyMore) {
  ASSERT_NO_FATAL_FAILURE(move_to_near("slot: {duration: 4s}\n"));
  ASSERT_TRUE(fake_->run_until([&] { return lease_state(0) == "here"; }));
  fake_->stop();
  EXPECT_EQ(agent_->wait(kLimit), 128 + SIGTERM);
  EXPECT_THAT(log_text(), HasSubstr("lease.over"));
  EXPECT_THAT(log_text(), HasSubstr("lease.cleared"));
}

TEST_F(AgentLeaseTest, DoesNotPayOnceMoreWhereThePolicySaysSo) {
  ASSERT_NO_FATAL_FAILURE(move_to_near("slot: {duration: 3s, renew: never}\n"));
  ASSERT_TRUE(
      fake_->run_until([&] { return log_text().find("lease.not_renewed") != std::string::npos; }));
  EXPECT_EQ(agent_->wait(kLimit), 128 + SIGTERM);
  EXPECT_TRUE(fake_->renewals.empty());
}

class AgentBidTest : public AgentSupervisorTest {
 protected:
  void bid_against(wire::MicroCredits rival, bool forged = false) {
    near_.full = true;
    fake_->sale = FakeSupervisor::Sale{&near_, rival, forged};
    start_agent(policy());
    start_users(4);
  }
  json::Object bid() const {
    const auto* rows = fake_->status.if_contains("bids");
    if (rows == nullptr || rows->as_array().empty()) return {};
    return rows->as_array()[0].as_object();
  }
  bool bid_is(std::string_view state) const {
    return !bid().empty() && bid().at("state").as_string() == state;
  }
};

// Nothing is to be had at a posted price: it bids what the slot is worth, wins, checks the outcome,
// pays the other's price, and moves.
TEST_F(AgentBidTest, WinsASealedBidAndMovesThere) {
  bid_against(30'000);
  ASSERT_TRUE(fake_->run_until([&] { return !fake_->orders.empty(); }));
  EXPECT_EQ(fake_->orders[0].to, near_.key.public_key());
  ASSERT_EQ(fake_->bids.size(), 1U);
  EXPECT_EQ(fake_->bids[0].price_ucredits, 30'000);
  EXPECT_THAT(log_text(), HasSubstr("bid.won"));
  ASSERT_TRUE(fake_->run_until([&] { return !fake_->connected(); }));
  fake_->become(near_);
  agent_->signal(SIGUSR1);
  ASSERT_TRUE(fake_->run_until([&] { return fake_->connected(); }));
  fake_->send({{"event", "moved"}, {"migration", fake_->orders[0].migration_id}, {"epoch", 2}});
  ASSERT_TRUE(fake_->run_until([&] {
    return purse("spent_ucredits") == 30'000 && purse("held_ucredits") == 0 && bid_is("won");
  }));
  EXPECT_GT(bid().at("price_ucredits").as_int64(), 30'000);
  const auto documents = ledger();
  for (const char* kind : {"auction_call", "auction_close", "auction_outcome"})
    EXPECT_EQ(documents.count(kind), 1U) << kind;
  EXPECT_EQ(documents.at("auction_bid"), 2);
}

// Two providers sell in somebody's exchange: whichever it will be is worth the bid, the cheaper one
// has the slot, and the price is what the dearer one asked.
TEST_F(AgentBidTest, BuysInAnExchangeAndMovesToWhoeverSellsThere) {
  FakeProvider other;
  other.name = "other";
  other.api = "192.0.2.30:7946";
  near_.full = other.full = true;
  fake_->providers[other.api] = &other;
  fake_->sale = FakeSupervisor::Sale{&near_, 30'000, false, &other};
  start_agent(policy("  - {name: other, id: " + other.key.id() + ", api: \"" + other.api +
                     "\", rtt: 1ms}\n"));
  start_users(4);
  ASSERT_TRUE(fake_->run_until([&] { return !fake_->orders.empty(); })) << log_text();
  EXPECT_EQ(fake_->orders[0].to, near_.key.public_key());
  ASSERT_EQ(fake_->bids.size(), 1U);
  EXPECT_EQ(fake_->bids[0].price_ucredits, 30'000);
  EXPECT_EQ(bid().at("rule").as_string(), "double");
  EXPECT_EQ(bid().at("provider").as_string(), near_.key.id());
}

// A seller that it does not know could be anybody.
TEST_F(AgentBidTest, StaysOutOfAnExchangeWithStrangers) {
  FakeProvider stranger;
  near_.full = true;
  fake_->sale = FakeSupervisor::Sale{&near_, 30'000, false, &stranger};
  start_agent(policy());
  start_users(4);
  ASSERT_TRUE(fake_->run_until([&] { return fake_->exchange_lists >= 2; })) << log_text();
  EXPECT_TRUE(bid().empty());
  EXPECT_TRUE(fake_->orders.empty());
}

// It could lose its deposit for a slot that it may not take.
TEST_F(AgentBidTest, HeldItBidsForNothing) {
  near_.full = true;
  fake_->sale = FakeSupervisor::Sale{&near_, 30'000, false};
  start_agent(policy());
  fake_->send({{"event", "hold"}});
  ASSERT_TRUE(fake_->run_until(
      [&] { return fake_->status.contains("held") && fake_->status.at("held").as_bool(); }));
  start_users(4);
  const auto sees_no_offer = [](const json::Object& told) {
    return boost::json::serialize(told).find("\"reason\":\"no_offer\"") != std::string::npos;
  };
  ASSERT_TRUE(fake_->run_until(
      [&] { return !fake_->decisions.empty() && sees_no_offer(fake_->decisions.back()); }));
  fake_->send({{"event", "plan"}, {"request", "r1"}});
  ASSERT_TRUE(fake_->run_until([&] { return !fake_->plans.empty(); }));
  EXPECT_TRUE(sees_no_offer(fake_->plans[0]));
  EXPECT_TRUE(bid().empty());
  EXPECT_TRUE(fake_->sale->commits.empty());
  EXPECT_EQ(purse("held_ucredits"), 0);
  fake_->send({{"event", "unhold"}});
  EXPECT_TRUE(fake_->run_until([&] { return !bid().empty(); }));
}

// What one process has committed to the next one reveals: silence would cost the deposit.
TEST_F(AgentBidTest, GoesOnWithItsBidWhenItIsStartedAnew) {
  bid_against(30'000);
  ASSERT_TRUE(fake_->run_until([&] { return bid_is("committed"); }));
  const auto held = purse("held_ucredits");
  EXPECT_GT(held, 0);
  kill_agent();
  start_agent(policy());
  EXPECT_EQ(purse("held_ucredits"), held);
  ASSERT_TRUE(fake_->run_until([&] { return bid_is("won"); }));
  EXPECT_THAT(log_text(), HasSubstr("bid.taken_up"));
}

TEST_F(AgentBidTest, LosesAndHasItsMoneyBack) {
  bid_against(900'000'000);
  ASSERT_TRUE(fake_->run_until([&] { return bid_is("lost"); }));
  ASSERT_TRUE(fake_->run_until([&] { return purse("held_ucredits") == 0; }));
  EXPECT_EQ(purse("spent_ucredits"), 0);
  EXPECT_TRUE(fake_->orders.empty());
}

// Nobody hears it until it is too late: the outcome says so, and what that costs.
TEST_F(AgentBidTest, LosesItsDepositWhenItWasSilent) {
  near_.full = true;
  fake_->sale = FakeSupervisor::Sale{&near_, 30'000};
  fake_->sale->ear = FakeSupervisor::Sale::Ear::kDeaf;
  start_agent(policy());
  start_users(4);
  ASSERT_TRUE(fake_->run_until([&] { return bid_is("forfeited"); }));
  EXPECT_EQ(bid().at("owed_ucredits"), 10);
  ASSERT_TRUE(fake_->run_until([&] { return purse("spent_ucredits") == 10; }));
  EXPECT_EQ(purse("held_ucredits"), 0);
}

// It was heard, but its answer was lost: that is no silence.
TEST_F(AgentBidTest, OwesNothingWhenOnlyTheAcknowledgementWasLost) {
  near_.full = true;
  fake_->sale = FakeSupervisor::Sale{&near_, 900'000'000};
  fake_->sale->ear = FakeSupervisor::Sale::Ear::kNoAnswer;
  start_agent(policy());
  start_users(4);
  ASSERT_TRUE(fake_->run_until([&] { return bid_is("lost"); }));
  ASSERT_TRUE(fake_->run_until([&] { return purse("held_ucredits") == 0; }));
  EXPECT_EQ(purse("spent_ucredits"), 0);
}

TEST_F(AgentBidTest, ItsShareOfALostDepositIsBooked) {
  near_.full = true;
  fake_->sale = FakeSupervisor::Sale{&near_, 30'000};
  fake_->sale->rival_shows = false;
  start_agent(policy());
  start_users(4);
  ASSERT_TRUE(fake_->run_until([&] { return bid_is("won"); }));
  EXPECT_EQ(bid().at("due_ucredits"), 10);
  EXPECT_EQ(bid().at("owed_ucredits"), 0);
}

TEST_F(AgentBidTest, DoesNotTakeAForgedOutcome) {
  bid_against(30'000, true);
  ASSERT_TRUE(fake_->run_until([&] { return bid_is("void"); }));
  EXPECT_THAT(log_text(), HasSubstr("sale.wrong"));
  EXPECT_TRUE(fake_->orders.empty());
}

}  // namespace
}  // namespace icon::agent
