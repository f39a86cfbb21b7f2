#include "lab/demo_play.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <set>

#include "lab/demo_data.h"
#include "lab/demo_story.h"
#include "lab/demo_world.h"
#include "lab/load_client.h"

namespace icon::lab {
namespace {

constexpr std::int64_t kPollMs = 200;
constexpr std::int64_t kLatencyEveryMs = 2'000;
constexpr std::int64_t kWarmUpMs = 1'000;
constexpr std::int64_t kSettleMs = 500;
constexpr std::int64_t kAfterMs = 5'000;
constexpr std::int64_t kMoveMaxMs = 60'000;
constexpr std::int64_t kSettlementMaxMs = 10'000;
constexpr std::int64_t kBudgetUcredits = 10'000'000;
constexpr std::size_t kLogLineBytesMax = 1 << 20;

std::int64_t now_ms() {
  return std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string text(const json::Object& object, std::string_view key) {
  return json::get_string_or(object, key, "", kLogLineBytesMax).value_or("");
}
std::int64_t number(const json::Object& object, std::string_view key) {
  return json::get_int_or(object, key, 0, 0, INT64_MAX).value_or(0);
}

// One access network's load clients.
struct Users {
  std::string node;
  std::size_t count = 0;
  std::vector<Address> sources;
  std::unique_ptr<LoadClient> open;  // since the beginning
  std::unique_ptr<LoadClient> anew;  // to the new place
  NetworkResult result;
};

class Play {
 public:
  Play(const DemoOptions& options, const DemoStage& stage)
      : options_(options), stage_(stage), begun_ms_(now_ms()) {}

  Result<DemoOutcome> run() {
    auto played = scenes();
    users_.clear();
    if (!world_) return played;
    // A failure can be looked into; whoever presses ctrl-C wants it gone.
    if (options_.keep && (played || played.error().code != Code::kCancelled)) {
      world_->release();
      return played;
    }
    const auto down = world_->down();
    world_.reset();
    if (played && !down) return fail(down.error());
    return played;
  }

 private:
  Result<DemoOutcome> scenes() {
    ICON_CHECK(build_world());
    ICON_CHECK(start_service());
    ICON_CHECK(start_users());
    ICON_CHECK(watch_the_move());
    ICON_CHECK(look_at_the_result());
    DemoOutcome outcome;
    outcome.result = std::move(result_);
    outcome.expectations.rejected = expected_rejections();
    return outcome;
  }

  Status tick() const { return stage_.pass(0); }

  Status build_world() {
    stage_.headline("An internet on this machine: networks, routers, delays, DNS");
    DemoWorldOptions world;
    world.lab_name = options_.lab_name;
    world.topology_text = options_.topology_text;
    world.rootfs = options_.rootfs;
    world.criu = options_.criu;
    world.prices_ucredits = options_.prices_ucredits;
    world.keep = options_.keep;
    ICON_TRY(auto made, DemoWorld::create(std::move(world)));
    world_.emplace(std::move(made));
    ICON_CHECK(tick());
    const auto& topology = world_->lab().topology();
    stage_.say(fmt::format("{} namespaces, {} links, {} domains, {} providers announced in the DNS",
                           topology.nodes.size(), topology.links.size(), topology.domains.size(),
                           topology.providers.size()));
    ICON_CHECK(world_->start_supervisors([this] { return tick(); }));
    for (const auto& node : world_->hosts()) {
      const auto price = options_.prices_ucredits.find(node);
      stage_.say(
          fmt::format("A supervisor runs at {} ({}), a slot there costs {}", node,
                      world_->lab().address(node).value_or(Address()).to_string(),
                      credits_text(price == options_.prices_ucredits.end() ? kDemoPriceUcredits
                                                                           : price->second)));
    }
    for (const auto& user : topology.users) {
      Users users;
      users.node = user.node;
      users.count = static_cast<std::size_t>(user.count);
      ICON_TRY(users.sources, world_->lab().users(user.node));
      users.result.name = user.node;
      users_.push_back(std::move(users));
    }
    if (users_.empty()) return fail(Code::kInvalid, "the topology has no users");
    return {};
  }

  std::string policy_text() const {
    return fmt::format(
        "name: demo\n"
        "latency: {{objective: 20ms}}\n"
        "budget: {}\n"
        "value: 0.05\n"
        "margin: 0.01\n"
        "horizon: 1h\n"
        "interval: 2s\n"
        "rounds: 2\n"
        "cooldown: 10m\n"
        "redirect: forward\n"
        "slot: {{cpu: 0.5, memory: {}MiB, bandwidth: 100Mbit, duration: 1h}}\n",
        kBudgetUcredits / 1'000'000, slot_memory_mb());
  }
  // The data, redis' own share of it and the agent.
  std::int64_t slot_memory_mb() const { return 128 + options_.data_mb * 2; }

  Status start_service() {
    const auto& origin = world_->options().origin;
    stage_.headline(
        fmt::format("A redis with {} MB of data, as an ICON at {}", options_.data_mb, origin));
    ICON_CHECK(world_->run_redis(policy_text(), {}));
    stage_.say("$ " + world_->run_command_line());
    ICON_CHECK(tick());
    ICON_TRY(const auto icon, world_->get(origin, "/v1/icons/redis"));
    result_.icon = text(icon, "id");
    ICON_TRY(const auto address, world_->lab().address(origin));
    data_.netns = world_->lab().netns(users_.front().node);
    data_.source = users_.front().sources.front();
    data_.redis = {address, kRedisPort};
    data_.values = options_.data_mb * 1'000'000 / kDataValueBytes;
    result_.data_bytes = data_.values * kDataValueBytes;
    ICON_CHECK(wait_for_redis(data_, [this](std::int64_t ms) -> Status {
      ICON_CHECK(check_running());
      return stage_.pass(ms);
    }));
    const auto begin_ms = now_ms();
    ICON_CHECK(write_data(data_, [this] { return tick(); }));
    stage_.say(fmt::format("{} written from {} in {:.1f} s", bytes_text(result_.data_bytes),
                           users_.front().node, static_cast<double>(now_ms() - begin_ms) / 1000));
    return {};
  }

  // A service that ended says why in its log.
  Status check_running() const {
    const auto& origin = world_->options().origin;
    ICON_TRY(const auto icon, world_->get(origin, "/v1/icons/redis"));
    const auto state = text(icon, "state");
    if (state != "stopped" && state != "failed") return {};
    std::string last;
    if (const auto lines =
            world_->get_lines(origin, "/v1/icons/redis/logs?source=service&lines=20"))
      for (const auto& line : *lines)
        if (const auto said = text(line, "line"); !said.empty()) last = said;
    return fail(Code::kIo, "redis at " + origin + " has ended: " + last);
  }

  LoadOptions load_options(const Users& users, const Address& host) const {
    LoadOptions load;
    load.target = {host, kRedisPort};
    load.sources = users.sources;
    load.connections = users.count;
    load.rate_per_s = options_.rate_per_s;
    return load;
  }

  Status start_users() {
    stage_.headline("Users connect and stay connected, each checks every reply");
    for (auto& users : users_) {
      ICON_TRY(auto client, LoadClient::start(world_->lab(), users.node,
                                              load_options(users, data_.redis.address)));
      users.open = std::make_unique<LoadClient>(std::move(client));
      stage_.say(fmt::format("{}: {} connections, {:g} requests a second on each", users.node,
                             users.count, options_.rate_per_s));
    }
    ICON_CHECK(stage_.pass(kWarmUpMs));
    return mark_all("before", nullptr);
  }

  // Closes the window of all open connections, keeps its report in `into`.
  Status mark_all(const std::string& next, LoadReport NetworkResult::*into) {
    for (auto& users : users_) {
      ICON_TRY(auto report, users.open->mark(next));
      if (into != nullptr) users.result.*into = std::move(report);
    }
    return {};
  }

  void say_all(const std::vector<std::string>& lines) {
    for (const auto& line : lines) stage_.say(line);
  }

  // What is new at `node`, told in the order in which it happened. Failures are passed over: it is
  // asked again soon.
  void look_at(const std::string& node, bool decisions) {
    if (const auto icon = world_->get(node, "/v1/icons/redis"))
      if (const auto status = json::get_object(*icon, "status")) {
        say_all(story_->status(**status));
        last_status_ = **status;
      }
    using News = std::pair<std::int64_t, json::Object>;
    std::vector<News> events, choices;
    if (const auto answer = decisions ? world_->get(node, "/v1/decisions?icon=" + result_.icon)
                                      : Result<json::Object>(json::Object{}))
      if (const auto list = json::get_array(*answer, "decisions", 10'000))
        for (const auto& item : **list)
          if (item.is_object()) {
            const auto& choice = item.get_object();
            const auto evidence = json::get_object(choice, "evidence");
            choices.emplace_back(evidence ? number(**evidence, "decided_ms") : 0, choice);
          }
    if (const auto lines = world_->get_lines(node, "/v1/icons/redis/logs?source=agent&lines=500"))
      for (const auto& line : *lines) {
        const auto inner = text(line, "line");
        if (!seen_lines_.insert(inner).second) continue;
        if (const auto event = json::parse_object(inner, kLogLineBytesMax))
          events.emplace_back(number(*event, "time_ms"), *event);
      }
    const auto earlier = [](const News& a, const News& b) { return a.first < b.first; };
    std::stable_sort(choices.begin(), choices.end(), earlier);
    auto choice = choices.begin();
    for (const auto& [at_ms, event] : events) {
      for (; choice != choices.end() && choice->first <= at_ms; ++choice)
        say_all(story_->decision(choice->second));
      say_all(story_->agent_event(event));
    }
    for (; choice != choices.end(); ++choice) say_all(story_->decision(choice->second));
  }

  std::string state_of_migration() {
    const auto answer = world_->get(world_->options().origin, "/v1/migrations");
    if (!answer) return "";
    const auto list = json::get_array(*answer, "migrations", 10'000);
    if (!list) return "";
    for (const auto& item : **list) {
      if (!item.is_object() || text(item.get_object(), "icon") != result_.icon) continue;
      migration_ = item.get_object();
      result_.migration = text(migration_, "id");
      return text(migration_, "state");
    }
    return "";
  }

  void say_latency() {
    std::string line;
    for (auto& users : users_)
      if (const auto& report = users.open->latest())
        line += fmt::format("{}{} {} ({} of {} alive)", line.empty() ? "" : ", ", users.node,
                            ms_text(report->rtt_us_p50), report->alive, report->connections);
    if (!line.empty()) stage_.say("Users' round trip: " + line);
  }

  Status watch_the_move() {
    stage_.headline("The agent looks at its users, looks for providers, asks, decides");
    const auto& origin = world_->options().origin;
    story_.emplace(world_->names());
    const auto deadline = now_ms() + kMoveMaxMs;
    auto latency_ms = now_ms();
    bool moving = false;
    while (true) {
      ICON_CHECK(world_->check_supervisors());
      look_at(origin, true);
      const auto state = state_of_migration();
      if (!state.empty() && !moving) {
        moving = true;
        ICON_CHECK(mark_all("during", &NetworkResult::before));
        stage_.headline("It moves: " + name_of(text(migration_, "from")) + " to " +
                        name_of(text(migration_, "to")));
      }
      if (moving) tell_phases();
      if (state == "done") break;
      if (state == "rolled_back" || state == "failed")
        return fail(Code::kIo,
                    fmt::format("the move did not succeed, redis serves on at {}: {}; log: {}",
                                origin, text(migration_, "error"), world_->log_file(origin)));
      if (now_ms() > deadline)
        return fail(Code::kTimeout, fmt::format("no move within {} s; migration state: '{}'",
                                                kMoveMaxMs / 1000, state));
      if (!moving && now_ms() - latency_ms >= kLatencyEveryMs) {
        latency_ms = now_ms();
        say_latency();
      }
      ICON_CHECK(stage_.pass(kPollMs));
    }
    return tell_the_move();
  }

  std::string name_of(const std::string& key) const {
    const auto found = world_->names().find(key);
    return found == world_->names().end() ? key : found->second;
  }

  void tell_phases() {
    auto migration = world_->get(world_->options().origin, "/v1/migrations/" + result_.migration);
    if (!migration) return;
    migration_ = std::move(*migration);
    say_all(story_->migration(migration_));
  }

  // What went over the network. A dump is written to memory, where it was made.
  std::int64_t bytes_moved() const {
    std::int64_t sum = 0;
    if (const auto phases = json::get_array(migration_, "phases", 1'000))
      for (const auto& phase : **phases)
        if (phase.is_object() && text(phase.get_object(), "name") != "dump")
          sum += number(phase.get_object(), "bytes");
    return sum;
  }

  Status tell_the_move() {
    // After the move others look worse or better from there: that is another story.
    result_.rejected = story_->rejected();
    result_.from = name_of(text(migration_, "from"));
    result_.to = name_of(text(migration_, "to"));
    result_.service_gap_us = number(migration_, "gap_us");
    result_.bytes_moved = bytes_moved();
    stage_.say(fmt::format("Moved to {}: {} travelled, the service stood still for {}", result_.to,
                           bytes_text(result_.bytes_moved), ms_text(result_.service_gap_us)));
    ICON_CHECK(stage_.pass(kSettleMs));
    return mark_all("open", &NetworkResult::during);
  }

  Status look_at_the_result() {
    stage_.headline(
        fmt::format("The old connections live on; whoever connects now goes to {}", result_.to));
    ICON_TRY(const auto address, world_->lab().address(result_.to));
    for (auto& users : users_) {
      ICON_TRY(auto client,
               LoadClient::start(world_->lab(), users.node, load_options(users, address)));
      users.anew = std::make_unique<LoadClient>(std::move(client));
    }
    ICON_CHECK(stage_.pass(kSettleMs));
    for (auto& users : users_) ICON_CHECK(users.anew->mark("after"));
    const auto end_ms = now_ms() + kAfterMs;
    while (now_ms() < end_ms) {
      look_at(result_.to, false);
      ICON_CHECK(stage_.pass(kPollMs));
    }
    ICON_CHECK(mark_all("check", &NetworkResult::open));
    for (auto& users : users_) {
      ICON_TRY(users.result.anew, users.anew->mark("check"));
      stage_.say(fmt::format("{}: {} before; open connections {} through the tunnel; new ones {}",
                             users.node, ms_text(users.result.before.rtt_us_p50),
                             ms_text(users.result.open.rtt_us_p50),
                             ms_text(users.result.anew.rtt_us_p50)));
    }
    data_.redis.address = address;
    ICON_TRY(result_.data_damaged, count_damaged(data_, [this] { return tick(); }));
    stage_.say(fmt::format("{} read back at {}: {} of {} values damaged",
                           bytes_text(result_.data_bytes), result_.to, result_.data_damaged,
                           data_.values));
    for (auto& users : users_) {
      ICON_TRY(users.result.end, users.open->stop());
      ICON_TRY(users.result.anew_end, users.anew->stop());
      result_.networks.push_back(users.result);
    }
    ICON_CHECK(wait_for_settlement());
    result_.took_ms = now_ms() - begun_ms_;
    return {};
  }

  // The agent pays when it has heard that it moved; its status tells.
  Status wait_for_settlement() {
    const auto deadline = now_ms() + kSettlementMaxMs;
    while (true) {
      look_at(result_.to, false);
      if (const auto purse = json::get_object(last_status_, "purse")) {
        result_.budget_ucredits = number(**purse, "budget_ucredits");
        result_.spent_ucredits = number(**purse, "spent_ucredits");
      }
      if (result_.spent_ucredits > 0 || now_ms() > deadline) return {};
      ICON_CHECK(stage_.pass(kPollMs));
    }
  }

  // Who lies about its key, and who asks for more than all users together could be worth.
  std::vector<std::string> expected_rejections() const {
    auto names = world_->liars();
    for (const auto& [node, price] : options_.prices_ucredits)
      if (price > kDemoPriceUcredits &&
          std::count(world_->hosts().begin(), world_->hosts().end(), node) > 0)
        names.push_back(node);
    return names;
  }

  const DemoOptions& options_;
  const DemoStage& stage_;
  const std::int64_t begun_ms_;
  std::optional<DemoWorld> world_;
  std::optional<DemoStory> story_;
  std::vector<Users> users_;  // before world_ in destruction
  DataStore data_;
  DemoResult result_;
  json::Object migration_;
  json::Object last_status_;
  std::set<std::string> seen_lines_;
};

}  // namespace

Result<DemoOutcome> play_demo(const DemoOptions& options, const DemoStage& stage) {
  return Play(options, stage).run();
}

}  // namespace icon::lab
