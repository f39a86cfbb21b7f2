// The agent under a supervisor: it sees far users, buys a slot near them, closes what cannot
// travel, and goes on at the new place. The freeze itself is left out: SIGUSR1 follows at once.
//
//   user 203.0.113.2 --- relay, 10 ms each way --- 203.0.113.1 host: agent + echo service
//                                                run directory: socket of a fake supervisor
#include <sys/stat.h>

#include "agent_world.h"

namespace icon::agent {
namespace {

// What `icon whatif` says about the record that an agent left in `run_dir`.
json::Object what_if(const std::string& run_dir, const std::string& policy_text) {
  std::ofstream(run_dir + "/other.yaml") << policy_text;
  Command command;
  command.argv = {std::string(ICON_BIN_DIR) + "/icon",
                  "whatif",
                  "--policy",
                  run_dir + "/other.yaml",
                  "--record",
                  run_dir + "/state/rounds.jsonl",
                  "-o",
                  "json"};
  const auto first = run_command_blocking(command);
  const auto second = run_command_blocking(command);
  EXPECT_TRUE(first && second);
  if (!first || !second) return {};
  EXPECT_EQ(first->exit_status, 0) << first->error_output;
  EXPECT_EQ(first->output, second->output);
  const auto answer = json::parse_object(first->output, 1 << 20);
  EXPECT_TRUE(answer) << first->output;
  return answer ? *answer : json::Object();
}

void expect_that_whatif_lives_it_again(const std::string& run_dir, const std::string& policy) {
  struct stat info {};
  ASSERT_EQ(stat((run_dir + "/state/rounds.jsonl").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  const auto moves = [](const json::Object& found, const char* life) {
    return found.at(life).as_object().at("moves").as_int64();
  };
  const auto same = what_if(run_dir, policy);
  EXPECT_GE(same.at("rounds").as_int64(), 2);
  EXPECT_EQ(same.at("alike"), same.at("rounds"));
  EXPECT_EQ(moves(same, "recorded"), 1);
  EXPECT_EQ(moves(same, "other"), 1);
  const auto patient = what_if(run_dir, "latency: {objective: 2s}\nbudget: 1\n");
  EXPECT_EQ(patient.at("rounds"), same.at("rounds"));
  EXPECT_LT(patient.at("alike").as_int64(), patient.at("rounds").as_int64());
  EXPECT_EQ(moves(patient, "recorded"), 1);
  EXPECT_EQ(moves(patient, "other"), 0);
}

TEST_F(AgentSupervisorTest, MovesToItsUsersAndGoesOn) {
  start_agent(policy("record: 1MiB\n"));
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
  ASSERT_TRUE(fake_->run_until([&] {  // a round there, too
    const auto text = read_file(run_dir_ + "/state/rounds.jsonl", 1 << 20);
    return text && text->find("\"here_id\":\"" + near_.key.id()) != std::string::npos;
  }));

  const auto documents = ledger();
  for (const char* kind : {"icon_join", "checkpoint", "move", "bid", "reservation", "confirmation",
                           "lease", "lease_terms", "order"})
    EXPECT_EQ(documents.count(kind) == 0 ? 0 : documents.at(kind), 1) << kind;
  EXPECT_EQ(documents.at("host_join"), 2);
  agent_->signal(SIGTERM);
  EXPECT_EQ(agent_->wait(kLimit), 128 + SIGTERM);
  EXPECT_EQ(ledger().count("end"), 1U);
  expect_that_whatif_lives_it_again(run_dir_, policy("record: 1MiB\n"));
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
  // It decides as ever, and says what it would do.
  ASSERT_TRUE(fake_->run_until([&] {
    return !fake_->decisions.empty() &&
           boost::json::serialize(fake_->decisions.back()).find("\"reason\":\"held\"") !=
               std::string::npos;
  }));
  EXPECT_THAT(boost::json::serialize(fake_->decisions.back()),
              HasSubstr("an operator holds the ICON; else move to near"));
  EXPECT_TRUE(fake_->bids.empty());
  fake_->send({{"event", "plan"}, {"request", "r1"}});
  ASSERT_TRUE(fake_->run_until([&] { return !fake_->plans.empty(); }));
  EXPECT_EQ(fake_->plans[0].at("request").as_string(), "r1");
  EXPECT_EQ(fake_->plans[0].at("error").as_string(), "");
  const auto& planned = fake_->plans[0].at("evidence").as_object();
  EXPECT_EQ(planned.at("reason").as_string(), "held");
  EXPECT_EQ(planned.at("to_id").as_string(), near_.key.id());

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

// Rounds are an hour apart: what is planned is looked at when somebody asks.
TEST_F(AgentSupervisorTest, PlansWhatItWouldDoNowAndDoesNothing) {
  auto hourly = policy();
  hourly.replace(hourly.find("interval: 200ms"), 15, "interval: 1h");
  start_agent(hourly);
  ASSERT_TRUE(fake_->run_until(  // the only round
      [&] { return log_text().find("round.objective_met") != std::string::npos; }));
  fake_->send({{"event", "plan"}, {"request", "without-users"}});
  ASSERT_TRUE(fake_->run_until([&] { return fake_->plans.size() == 1; }));
  EXPECT_EQ(fake_->plans[0].at("evidence").as_object().at("outcome").as_string(), "stay");
  EXPECT_EQ(fake_->plans[0].at("evidence").as_object().at("to_name").as_string(), "");
  start_users(4);
  std::size_t asked = 1;
  ASSERT_TRUE(fake_->run_until([&] {
    if (fake_->plans.size() == asked)
      fake_->send({{"event", "plan"}, {"request", "r" + std::to_string(asked++)}});
    const auto& evidence = fake_->plans.back().at("evidence").as_object();
    return evidence.at("outcome").as_string() == "move";
  }));
  const auto& evidence = fake_->plans.back().at("evidence").as_object();
  EXPECT_EQ(evidence.at("to_id").as_string(), near_.key.id());
  EXPECT_EQ(evidence.at("reason").as_string(), "won");
  EXPECT_TRUE(fake_->decisions.empty());
  EXPECT_TRUE(fake_->bids.empty());
  EXPECT_TRUE(fake_->orders.empty());
  EXPECT_EQ(purse("held_ucredits"), 0);
  EXPECT_EQ(lifecycle(), "ACTIVE");
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
