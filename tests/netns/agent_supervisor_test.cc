// The agent under a supervisor: it sees far users, buys a slot near them, closes what cannot
// travel, and goes on at the new place. The freeze itself is left out: SIGUSR1 follows at once.
//
//   user 203.0.113.2 --- relay, 10 ms each way --- 203.0.113.1 host: agent + echo service
//                                                run directory: socket of a fake supervisor
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <fstream>
#include <thread>

#include "agent_fake_supervisor.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/netns.h"
#include "base/subprocess.h"
#include "budget/ledger/prov.h"
#include "budget/ledger/sqlite_ledger_store.h"
#include "budget/promise_record.h"
#include "lab/relay.h"

namespace icon::agent {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::uint16_t kPort = 7;
constexpr Millis kLimit{30'000};

void must(std::vector<std::string> argv) {
  Command command;
  command.argv = std::move(argv);
  const auto status = run_checked_blocking(std::move(command));
  ASSERT_TRUE(status) << status.error().message;
}

// Users that send a byte and wait for its echo, again and again.
class Users {
 public:
  Users(const UniqueFd& netns, int connections) {
    const auto made = in_netns(netns, [&]() -> Status {
      for (int i = 0; i < connections; ++i) {
        UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_storage storage{};
        const socklen_t size = Address::parse("203.0.113.1")->to_sockaddr(kPort, storage);
        const timeval limit{10, 0};
        setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        if (connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0)
          return fail_errno("connect");
        sockets_.push_back(std::move(fd));
      }
      return {};
    });
    EXPECT_TRUE(made) << made.error().message;
    thread_ = std::thread([this] { talk(); });
  }
  ~Users() {
    stop_ = true;
    thread_.join();
  }
  std::size_t connected() const { return sockets_.size(); }

 private:
  void talk() {
    while (!stop_) {
      for (const auto& fd : sockets_) {
        char byte = 'x';
        if (send(fd.get(), &byte, 1, MSG_NOSIGNAL) != 1 || recv(fd.get(), &byte, 1, 0) != 1) return;
      }
    }
  }
  std::vector<UniqueFd> sockets_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

class AgentSupervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(geteuid(), 0U) << "this test makes network namespaces: run it as root";
    host_ = "icon-agt-" + std::to_string(getpid()) + "-host";
    user_ = "icon-agt-" + std::to_string(getpid()) + "-user";
    char directory[] = "/tmp/icon-agt-run.XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    run_dir_ = directory;
    std::filesystem::create_directory(run_dir_ + "/log");
    ASSERT_TRUE(write_file_atomic(run_dir_ + "/icon.key", hex_encode(icon_.seed()) + "\n", 0600));
    make_network();
    near_.name = "near";
    near_.api = "192.0.2.10:7946";
    liar_.name = "liar";
    liar_.api = "192.0.2.11:7946";
    liar_.lies = true;
    dear_.name = "dear";
    dear_.api = "192.0.2.12:7946";
    dear_.price_ucredits = 900'000'000;
    fake_.emplace(loop_, run_dir_ + "/supervisor.sock", icon_.public_key());
    fake_->ports = {kPort};
    for (auto* provider : {&near_, &liar_, &dear_}) fake_->providers[provider->api] = provider;
  }

  void TearDown() override {
    if (HasFailure()) {
      const auto log = read_file(run_dir_ + "/log/agent.log", 16 << 20);
      std::fprintf(stderr, "%s\n", log ? log->c_str() : "no agent.log");
    }
    users_.reset();
    agent_.reset();
    fake_.reset();
    if (relay_thread_.joinable()) {
      const std::uint64_t one = 1;
      EXPECT_EQ(write(relay_stop_.get(), &one, sizeof one), 8);
      relay_thread_.join();
    }
    relay_.reset();
    for (const auto& name : {host_, user_}) must({"ip", "netns", "delete", name});
    std::filesystem::remove_all(run_dir_);
  }

  void make_network() {
    for (const auto& name : {host_, user_}) must({"ip", "netns", "add", name});
    lab::RelayLink link;
    link.name = "wan";
    link.a = {host_, "wan"};
    link.b = {user_, "wan"};
    link.shape.delay_ms = 10;
    auto relay = lab::Relay::create({run_dir_ + "/relay.sock", {link}});
    ASSERT_TRUE(relay) << relay.error().message;
    relay_ = std::move(*relay);
    relay_stop_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
    relay_thread_ = std::thread([this] { (void)relay_->run(relay_stop_.get()); });
    const auto set_up = [](const std::string& name, const std::string& address) {
      must({"ip", "-n", name, "link", "set", "lo", "up"});
      must({"ip", "-n", name, "address", "add", address, "dev", "wan"});
      must({"ip", "-n", name, "link", "set", "wan", "up"});
    };
    set_up(host_, "203.0.113.1/24");
    set_up(user_, "203.0.113.2/24");
  }

  std::string policy(const std::string& more = "") const {
    const auto provider = [](const FakeProvider& p) {
      return "  - {name: " + p.name + ", id: " + p.key.id() + ", api: \"" + p.api +
             "\", rtt: 1ms}\n";
    };
    return "latency: {objective: 5ms}\nbudget: 1\ninterval: 200ms\nrounds: 1\ncooldown: 5m\n"
           "margin: 0\nproviders:\n" +
           provider(near_) + provider(liar_) + provider(dear_) + more;
  }

  void start_agent(const std::string& policy_text) {
    std::ofstream(run_dir_ + "/policy.yaml") << policy_text;
    auto netns = open_netns(host_);
    ASSERT_TRUE(netns);
    ChildProcess::Options options;
    options.argv = {std::string(ICON_BIN_DIR) + "/icon-agent",
                    "--run-dir",
                    run_dir_,
                    "--",
                    std::string(ICON_BIN_DIR) + "/icon-agent-test-service",
                    "echo",
                    std::to_string(kPort)};
    options.before_exec = [fd = netns->get()] { return setns(fd, CLONE_NEWNET); };
    auto child = ChildProcess::start(std::move(options));
    ASSERT_TRUE(child) << child.error().message;
    agent_.emplace(std::move(*child));
    ASSERT_TRUE(fake_->run_until([&] { return fake_->connected() && fake_->statuses > 0; }));
  }
  void start_users(int connections) {
    auto netns = open_netns(user_);
    ASSERT_TRUE(netns);
    ASSERT_TRUE(fake_->run_until([&] { return listens(); }));
    users_.emplace(*netns, connections);
  }
  bool listens() const {
    Command command;
    command.argv = {"ip", "netns", "exec", host_, "ss", "-Htln"};
    const auto outcome = run_command_blocking(std::move(command));
    return outcome && outcome->output.find(":7 ") != std::string::npos;
  }

  // What the agent has open, by name.
  std::vector<std::string> descriptors() const {
    std::vector<std::string> names;
    const std::string folder = "/proc/" + std::to_string(agent_->pid()) + "/fd";
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      std::error_code gone;
      const auto target = std::filesystem::read_symlink(entry.path(), gone);
      if (!gone) names.push_back(target.string());
    }
    return names;
  }
  std::ptrdiff_t sockets() const {
    const auto names = descriptors();
    return std::count_if(names.begin(), names.end(),
                         [](const auto& name) { return name.starts_with("socket:"); });
  }
  std::string lifecycle() const {
    return fake_->status.contains("lifecycle")
               ? std::string(fake_->status.at("lifecycle").as_string())
               : "";
  }
  std::int64_t purse(const char* field) const {
    return fake_->status.contains("purse")
               ? fake_->status.at("purse").as_object().at(field).as_int64()
               : -1;
  }
  std::string log_text() const {
    const auto log = read_file(run_dir_ + "/log/agent.log", 16 << 20);
    return log ? *log : "";
  }
  void expect_only_travelling_descriptors() const {
    // The end of the connection is the acknowledgement: nothing may be closed later than that.
    for (const auto& name : descriptors())
      EXPECT_THAT(name,
                  AnyOf("/dev/null", StartsWith(run_dir_ + "/log/"), StartsWith("pipe:"),
                        "anon_inode:[eventpoll]", "anon_inode:[eventfd]", "anon_inode:[timerfd]"));
    EXPECT_LE(descriptors().size(), 12U);
  }

  // Its ledger, proved, with a valid provenance: how many documents there are of each kind.
  std::map<std::string, std::int64_t> ledger() const {
    auto store = budget::ledger::SqliteLedgerStore::open(run_dir_ + "/state/ledger.db");
    EXPECT_TRUE(store) << store.error().message;
    budget::ledger::Report report;
    if (!store) return {};
    const auto entries = budget::ledger::verified_entries(*store, report);
    EXPECT_TRUE(entries) << entries.error().message;
    if (!entries) return {};
    const auto valid = budget::ledger::check_prov(budget::ledger::to_prov(*entries));
    EXPECT_TRUE(valid) << valid.error().message;
    for (const auto& entry : *entries)
      if (const auto event = wire::LifeEvent::from_json(entry.document.body))
        ++report.types[std::string(to_string(event->activity))];
    return report.types;
  }

  std::string host_;
  std::string user_;
  std::string run_dir_;
  IoContext loop_{1};
  KeyPair icon_ = KeyPair::generate();
  FakeProvider near_, liar_, dear_;
  std::optional<FakeSupervisor> fake_;
  std::unique_ptr<lab::Relay> relay_;
  UniqueFd relay_stop_;
  std::thread relay_thread_;
  std::optional<ChildProcess> agent_;
  std::optional<Users> users_;
};

TEST_F(AgentSupervisorTest, MovesToItsUsersAndGoesOn) {
  start_agent(policy());
  start_users(4);
  ASSERT_TRUE(fake_->run_until([&] { return !fake_->orders.empty(); }));

  ASSERT_EQ(fake_->bids.size(), 1U);
  EXPECT_EQ(fake_->bids[0].provider, near_.key.public_key());
  EXPECT_EQ(fake_->bids[0].price_ucredits, near_.price_ucredits);
  EXPECT_EQ(fake_->bids[0].epoch, 2);
  EXPECT_FALSE(fake_->held_too_early);
  const auto& order = fake_->orders[0];
  EXPECT_EQ(order.icon, icon_.public_key());
  EXPECT_EQ(order.from, fake_->supervisor.public_key());
  EXPECT_EQ(order.to, near_.key.public_key());
  EXPECT_EQ(order.epoch, 2);
  EXPECT_EQ(order.reason, "latency");
  ASSERT_FALSE(fake_->decisions.empty());
  const std::string evidence = boost::json::serialize(fake_->decisions.back());
  EXPECT_THAT(evidence, HasSubstr("key_mismatch"));
  EXPECT_THAT(evidence, HasSubstr("over_budget"));
  EXPECT_EQ(dear_.leases + liar_.leases, 0);

  // Quiesce: the connection ends when everything else has ended.
  ASSERT_TRUE(fake_->run_until([&] { return !fake_->connected(); }));
  expect_only_travelling_descriptors();

  fake_->become(near_);
  agent_->signal(SIGUSR1);
  ASSERT_TRUE(fake_->run_until([&] { return fake_->connected(); }));
  fake_->send({{"event", "moved"}, {"migration", order.migration_id}, {"epoch", 2}});
  ASSERT_TRUE(
      fake_->run_until([&] { return lifecycle() == "ACTIVE" && purse("held_ucredits") == 0; }));
  EXPECT_EQ(purse("spent_ucredits"), near_.price_ucredits);
  EXPECT_THAT(log_text(), HasSubstr("purse.settled"));
  // It measures again, from the new place, over the connections that came along.
  ASSERT_TRUE(fake_->run_until([&] {
    const auto& prefixes = fake_->status.at("prefixes").as_array();
    return !prefixes.empty() && prefixes[0].as_object().contains("rtt_us_p50");
  }));
  EXPECT_EQ(fake_->status.at("epoch").as_int64(), 2);

  const auto documents = ledger();
  for (const char* kind : {"icon_join", "checkpoint", "move", "bid", "reservation", "confirmation",
                           "lease", "lease_terms", "order"})
    EXPECT_EQ(documents.count(kind) == 0 ? 0 : documents.at(kind), 1) << kind;
  EXPECT_EQ(documents.at("host_join"), 2);
  agent_->signal(SIGTERM);
  EXPECT_EQ(agent_->wait(kLimit), 128 + SIGTERM);
  EXPECT_EQ(ledger().count("end"), 1U);
}

// It promises 1.5 ms by its own pings, and its users stay at 20 ms: the ICON goes on, long before
// the pause after a move is over, and has it on record.
TEST_F(AgentSupervisorTest, LeavesWhoeverDoesNotKeepItsPromise) {
  near_.ping_us = 1'500;
  near_.connect_rtt_us = 19'000;
  FakeProvider other;
  other.name = "other";
  other.api = "192.0.2.13:7946";
  other.price_ucredits = 2'000;
  fake_->providers[other.api] = &other;
  start_agent(policy("  - {name: other, id: " + other.key.id() + ", api: \"" + other.api +
                     "\", rtt: 1ms}\npromise: {window: 1s}\n"));
  start_users(4);
  ASSERT_TRUE(fake_->run_until([&] { return !fake_->orders.empty() && !fake_->connected(); }));
  EXPECT_GT(near_.pings, 0);
  EXPECT_EQ(fake_->orders[0].to, near_.key.public_key());
  fake_->become(near_);
  agent_->signal(SIGUSR1);
  ASSERT_TRUE(fake_->run_until([&] { return fake_->connected(); }));
  fake_->send({{"event", "moved"}, {"migration", fake_->orders[0].migration_id}, {"epoch", 2}});

  ASSERT_TRUE(fake_->run_until([&] { return fake_->orders.size() == 2; }));
  EXPECT_EQ(fake_->orders[1].to, other.key.public_key());
  EXPECT_THAT(log_text(), HasSubstr("promise.broken"));
  EXPECT_THAT(log_text(), HasSubstr("near promised its users 1.5 ms instead of"));
  EXPECT_THAT(boost::json::serialize(fake_->decisions.back()), HasSubstr("near promised"));
  const auto file = read_file(run_dir_ + "/state/record.json", 1 << 20);
  ASSERT_TRUE(file);
  const auto record = budget::PromiseRecord::from_json(*json::parse_object(*file, 1 << 20));
  ASSERT_TRUE(record) << record.error().message;
  const auto& promise = record->here();
  ASSERT_TRUE(promise);
  EXPECT_EQ(promise->provider_id, near_.key.id());
  EXPECT_EQ(promise->state, budget::PromiseState::kBroken);
  EXPECT_EQ(promise->promised_us, 1'500);
  EXPECT_GE(promise->delivered_us, 19'000);
  EXPECT_LT(record->trust(near_.key.id(), SystemClock().utc_ms()), 70);
}

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

TEST_F(AgentBidTest, LosesAndHasItsMoneyBack) {
  bid_against(900'000'000);
  ASSERT_TRUE(fake_->run_until([&] { return bid_is("lost"); }));
  ASSERT_TRUE(fake_->run_until([&] { return purse("held_ucredits") == 0; }));
  EXPECT_EQ(purse("spent_ucredits"), 0);
  EXPECT_TRUE(fake_->orders.empty());
}

TEST_F(AgentBidTest, DoesNotTakeAForgedOutcome) {
  bid_against(30'000, true);
  ASSERT_TRUE(fake_->run_until([&] { return bid_is("void"); }));
  EXPECT_THAT(log_text(), HasSubstr("sale.wrong"));
  EXPECT_TRUE(fake_->orders.empty());
}

TEST_F(AgentSupervisorTest, ARollbackGivesTheMoneyBack) {
  start_agent(policy());
  start_users(4);
  ASSERT_TRUE(fake_->run_until([&] { return !fake_->orders.empty() && !fake_->connected(); }));
  agent_->signal(SIGUSR1);
  ASSERT_TRUE(fake_->run_until([&] { return fake_->connected(); }));
  fake_->send({{"event", "rolled_back"},
               {"migration", fake_->orders[0].migration_id},
               {"reason", "destination full"}});
  ASSERT_TRUE(
      fake_->run_until([&] { return lifecycle() == "ACTIVE" && purse("held_ucredits") == 0; }));
  EXPECT_EQ(purse("spent_ucredits"), 0);
  EXPECT_THAT(log_text(), HasSubstr("destination full"));
  EXPECT_EQ(fake_->orders.size(), 1U);  // it cools down
}

TEST_F(AgentSupervisorTest, ALostWakeUpIsNoticed) {
  start_agent(policy());
  start_users(2);
  ASSERT_TRUE(fake_->run_until([&] { return !fake_->orders.empty() && !fake_->connected(); }));
  fake_->become(near_);
  ASSERT_TRUE(fake_->run_until([&] { return fake_->connected(); }));
  ASSERT_TRUE(fake_->run_until([&] { return purse("spent_ucredits") == near_.price_ucredits; }));
}

TEST_F(AgentSupervisorTest, HeldItStaysUntilTheOperatorMovesIt) {
  start_agent(policy());
  fake_->send({{"event", "hold"}});
  ASSERT_TRUE(fake_->run_until(
      [&] { return fake_->status.contains("held") && fake_->status.at("held").as_bool(); }));
  start_users(4);
  ASSERT_TRUE(
      fake_->run_until([&] { return log_text().find("lifecycle.held") != std::string::npos; }));
  EXPECT_TRUE(fake_->bids.empty());

  fake_->send({{"event", "migrate"}, {"to", "dear"}, {"reason", "operator"}});
  ASSERT_TRUE(fake_->run_until(
      [&] { return log_text().find("migration.not_ordered") != std::string::npos; }));
  fake_->send({{"event", "migrate"}, {"to", "nobody"}, {"reason", "operator"}});
  ASSERT_TRUE(fake_->run_until([&] { return log_text().find("'nobody'") != std::string::npos; }));
  EXPECT_TRUE(fake_->orders.empty());
  // The operator hears every refusal, also one that he has heard before.
  const auto refused = [&](const char* why, std::size_t times) {
    std::size_t found = 0;
    for (const auto& decision : fake_->decisions) {
      const auto text = boost::json::serialize(decision);
      if (text.find("\"reason\":\"operator\"") != std::string::npos &&
          text.find(why) != std::string::npos)
        ++found;
    }
    return found >= times;
  };
  EXPECT_TRUE(fake_->run_until([&] { return refused("over_budget", 1) && refused("nobody", 1); }));
  ASSERT_TRUE(fake_->run_until([&] { return lifecycle() == "ACTIVE"; }));
  fake_->send({{"event", "migrate"}, {"to", "nobody"}, {"reason", "operator"}});
  EXPECT_TRUE(fake_->run_until([&] { return refused("nobody", 2); }));
  ASSERT_TRUE(fake_->run_until([&] { return lifecycle() == "ACTIVE"; }));
  fake_->send({{"event", "migrate"}, {"to", near_.api}, {"reason", "operator"}});
  ASSERT_TRUE(fake_->run_until([&] { return !fake_->orders.empty(); }));
  EXPECT_EQ(fake_->orders[0].reason, "operator");
  EXPECT_EQ(fake_->orders[0].to, near_.key.public_key());
  EXPECT_THAT(boost::json::serialize(fake_->decisions.back()), HasSubstr("operator"));
}

TEST_F(AgentSupervisorTest, AQuiesceInTheMiddleOfADiscoveryIsObeyedAtOnce) {
  // Questions to name servers leave, and nobody answers them.
  must({"ip", "-n", host_, "route", "add", "default", "via", "203.0.113.2"});
  start_agent(policy());
  start_users(2);
  // Beside the event stream and the kernel's notifications: probes or questions to name servers.
  ASSERT_TRUE(fake_->run_until([&] { return sockets() >= 4; }));
  fake_->send({{"event", "quiesce"}, {"migration", "somebody-elses"}});
  const auto before = std::chrono::steady_clock::now();
  ASSERT_TRUE(fake_->run_until([&] { return !fake_->connected(); }));
  EXPECT_LT(std::chrono::steady_clock::now() - before, Millis(500));
  expect_only_travelling_descriptors();
  agent_->signal(SIGUSR1);
  ASSERT_TRUE(fake_->run_until([&] { return fake_->connected(); }));
  fake_->send({{"event", "rolled_back"}, {"migration", "somebody-elses"}, {"reason", "test"}});
  ASSERT_TRUE(fake_->run_until([&] { return lifecycle() == "ACTIVE"; }));
}

TEST_F(AgentSupervisorTest, OutlivesItsSupervisor) {
  start_agent(policy());
  fake_->stop();
  ASSERT_TRUE(fake_->run_until([&] { return !fake_->connected(); }));
  ASSERT_TRUE(
      fake_->run_until([&] { return log_text().find("supervisor.lost") != std::string::npos; }));
  const int before = fake_->hellos;
  fake_->listen();
  ASSERT_TRUE(fake_->run_until([&] { return fake_->hellos > before; }));
  agent_->signal(SIGTERM);
  EXPECT_EQ(agent_->wait(kLimit), 128 + SIGTERM);
}

TEST_F(AgentSupervisorTest, TheServiceRunsWithoutAValidPolicy) {
  start_agent("bogus: 1\n");
  EXPECT_THAT(log_text(), HasSubstr("policy.invalid"));
  start_users(1);
  EXPECT_EQ(users_->connected(), 1U);
}

TEST_F(AgentSupervisorTest, StaysSmall) {
  start_agent(policy());
  start_users(8);
  ASSERT_TRUE(fake_->run_until([&] { return !fake_->decisions.empty(); }));
  std::ifstream file("/proc/" + std::to_string(agent_->pid()) + "/status");
  long resident_kb = 0;
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("VmRSS:")) resident_kb = std::atol(line.c_str() + 6);
  RecordProperty("resident_kb", static_cast<int>(resident_kb));
  EXPECT_GT(resident_kb, 0);
  EXPECT_LE(resident_kb, 8 * 1024);
}

}  // namespace
}  // namespace icon::agent
