// Deaths while a replica is made: who dies, at which seeded random moment, and what must be true
// afterwards. Never two with one identity; no more money gone than there was; a clear end; nothing
// left of what did not come to be.
//
//   export ICON_DEATHS=20 ICON_SEED=7 ICON_VICTIM=link
//   build/dev/bin/replica_deaths_lab_test
#include <fmt/format.h>

#include <map>

#include "tests/lab/window_world.h"

namespace icon::lab {
namespace {

constexpr Millis kEndMax{60'000};
constexpr Millis kCutMax{1'500};
constexpr std::int64_t kSmallData = (4 << 20) / kDataValueBytes;

class ReplicaDeaths : public WindowTest {
 protected:
  std::int64_t data_values() const override { return kSmallData; }

  std::int64_t purse(const char* field) const {
    const auto status = status_of("a", "redis");
    return status.contains("purse") ? status.at("purse").as_object().at(field).as_int64() : -1;
  }
  std::string lifecycle() const {
    const auto status = status_of("a", "redis");
    return status.contains("lifecycle") ? std::string(status.at("lifecycle").as_string()) : "";
  }
  std::size_t begun() const { return migrations("a").size(); }

  // Returns when it has begun.
  void order_replica() {
    ASSERT_TRUE(icon::test::eventually([&] { return lifecycle() == "ACTIVE"; }));
    const auto before = begun();
    http::UnixRequest request;
    request.socket_path = world_->socket("a");
    request.method = "POST";
    request.target = "/v1/icons/redis/replicate";
    request.body = R"({"to":")" + address("b").to_string() + R"(:7946"})";
    const auto answer = http::request_blocking(request);
    ASSERT_TRUE(answer && answer->status == 202) << (answer ? answer->body : "no answer");
    ASSERT_TRUE(icon::test::eventually([&] { return begun() > before; }));
  }

  // How the newest replication ended at the parent's host; "" when none began.
  std::string end_of(std::size_t before) {
    std::string state;
    EXPECT_TRUE(icon::test::eventually(
        [&] {
          const auto all = migrations("a");
          state = all.size() > before ? std::string(all.front().at("state").as_string()) : "";
          const bool is_over = state.empty() || state == "done" || state == "rolled_back";
          return is_over && lifecycle() == "ACTIVE" && icon_state("a") == "running";
        },
        kEndMax))
        << state << ", the parent is " << lifecycle() << " and " << icon_state("a");
    return state;
  }

  // Who runs where, by identity.
  std::multimap<std::string, std::string> running() const {
    std::multimap<std::string, std::string> found;
    for (const std::string host : {"a", "b"}) {
      const auto body = world_->get(host, "/v1/icons");
      if (!body) continue;
      for (const auto& icon : body->at("icons").as_array())
        if (icon.at("state").as_string() == "running" ||
            icon.at("state").as_string() == "migrating")
          found.emplace(std::string(icon.at("id").as_string()), host);
    }
    return found;
  }
  bool is_free(const std::string& host) const {
    const auto status = world_->get(host, "/v1/status");
    return status && status->at("free") == status->at("capacity");
  }

  void expect_sane(const std::string& parent, const std::string& end, std::int64_t spent) {
    const auto all = running();
    EXPECT_EQ(all.count(parent), 1U);
    for (auto it = all.begin(); it != all.end(); ++it)
      EXPECT_EQ(all.count(it->first), 1U) << it->first;
    EXPECT_LE(all.size(), 2U);
    // What is held for a replica of which nobody knows yet is not gone.
    EXPECT_TRUE(icon::test::eventually([&] { return purse("held_ucredits") == 0; }, kEndMax));
    EXPECT_LE(purse("spent_ucredits"), spent + (end == "done" ? kDemoPriceUcredits : 0));
    EXPECT_LE(purse("spent_ucredits") + purse("shared_ucredits"), purse("budget_ucredits"));
    EXPECT_EQ(count_damaged(data_at("a"), no_poll).value_or(-1), 0);
  }

  std::string names_at(const std::string& host) const {
    std::string names;
    for (const int pid : icon_processes(host))
      names += ", " + std::to_string(pid) + " " +
               read_file("/proc/" + std::to_string(pid) + "/comm", 64).value_or("");
    return names;
  }

  // What came to be ends now, and what did not has left nothing.
  void clear(const std::string& end) {
    if (end == "done") {
      EXPECT_TRUE(icon::test::eventually([&] {
        const auto state = icon_state("b");
        return state == "running" || state == "failed" || state == "stopped";
      })) << icon_state("b");
      const auto gone = world_->run_icon("b", {"stop", "redis"});
      EXPECT_TRUE(gone) << gone.error().message;
    }
    EXPECT_TRUE(icon::test::eventually([&] {
      return is_free("b") && icon_processes("b").empty() && icon_state("b") == "none";
    })) << icon_state("b")
        << (is_free("b") ? "" : ", a slot is held") << names_at("b");
    expect_clean("b");
  }

  void one_death(Victim victim, Millis window, std::map<std::string, int>& ends) {
    const Millis after(
        static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(window.count())));
    const Millis cut_for(
        1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(kCutMax.count())));
    SCOPED_TRACE(fmt::format("seed {}: the {} dies {} ms after the replication began", seed_,
                             name_of(victim), after.count()));
    const auto parent = std::string(icon_at("a", "redis").at("id").as_string());
    const auto spent = purse("spent_ucredits");
    const auto before = begun();
    ASSERT_NO_FATAL_FAILURE(order_replica());
    std::this_thread::sleep_for(after);  // the moment is the test's subject
    strike(victim, cut_for);
    const auto end = end_of(before);
    ++ends[end.empty() ? "not ordered" : end];
    expect_sane(parent, end, spent);
    clear(end);
  }
};

TEST_F(ReplicaDeaths, OneOfEachIdentityAndNoMoneyLost) {
  // How long it takes when nobody dies.
  const auto before = begun();
  ASSERT_NO_FATAL_FAILURE(order_replica());
  const auto start = std::chrono::steady_clock::now();
  const auto id = std::string(icon_at("a", "redis").at("id").as_string());
  ASSERT_EQ(end_of(before), "done");
  const auto window = std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now() - start);
  expect_sane(id, "done", 0);
  clear("done");
  for (const Victim victim : {Victim::kSource, Victim::kDestination, Victim::kDestinationHost,
                              Victim::kCopy, Victim::kRestore, Victim::kLink}) {
    if (!is_wanted(victim)) continue;
    std::map<std::string, int> ends;
    for (int i = 0; i < rounds() && !HasFailure(); ++i) one_death(victim, window, ends);
    std::cout << fmt::format("seed {}: the {} died {} times within {} ms of the beginning:", seed_,
                             name_of(victim), rounds(), window.count());
    for (const auto& [end, count] : ends) std::cout << ' ' << count << ' ' << end;
    std::cout << std::endl;
  }
}

}  // namespace
}  // namespace icon::lab
