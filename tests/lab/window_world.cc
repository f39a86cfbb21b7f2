#include "tests/lab/window_world.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <regex>

#include "base/netns.h"
#include "tests/eventually.h"

namespace icon::lab {
namespace {

constexpr Millis kAnswerMax{1'000};
constexpr Millis kDialPause{5};
constexpr std::int64_t kDataMb = 96;
constexpr Millis kEndMax{30'000};  // the limit within which a move must have ended, however
constexpr Millis kCutMax{1'500};

std::int64_t from_environment(const char* name, std::int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::max<std::int64_t>(1, std::atoll(text));
}

// "INCR count" over a new connection; nothing when no answer came in time.
std::optional<std::int64_t> count_once(const std::string& netns, const Address& source,
                                       const Endpoint& host) {
  UniqueFd fd;
  const auto network = open_netns(netns);
  if (!network) return std::nullopt;
  const auto dialled = in_netns(*network, [&]() -> Status {
    sockaddr_storage storage{};
    auto length = source.to_sockaddr(0, storage);
    fd.reset(socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval limit{kAnswerMax.count() / 1000, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0)
      return fail_errno("bind");
    length = host.address.to_sockaddr(host.port, storage);
    if (connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0)
      return fail_errno("connect");
    return {};
  });
  constexpr std::string_view kCount = "*2\r\n$4\r\nINCR\r\n$5\r\ncount\r\n";
  if (!dialled || send(fd.get(), kCount.data(), kCount.size(), MSG_NOSIGNAL) < 0)
    return std::nullopt;
  char answer[64] = {};
  const auto got = recv(fd.get(), answer, sizeof answer - 1, 0);
  if (got < 4 || answer[0] != ':' || answer[got - 1] != '\n') return std::nullopt;
  return std::atoll(answer + 1);
}

}  // namespace

const char* name_of(Victim victim) {
  switch (victim) {
    case Victim::kSource:
      return "source";
    case Victim::kSourceHost:
      return "source host";
    case Victim::kDestination:
      return "destination";
    case Victim::kDestinationHost:
      return "destination host";
    case Victim::kCopy:
      return "copy";
    case Victim::kRestore:
      return "restore";
    case Victim::kPages:
      return "pages";
    case Victim::kLink:
      return "link";
  }
  return "nobody";
}

CounterUser::CounterUser(std::string netns, Address source, std::vector<Endpoint> hosts)
    : netns_(std::move(netns)),
      source_(std::move(source)),
      hosts_(std::move(hosts)),
      thread_([this] { ask_until_stopped(); }) {}

CounterUser::~CounterUser() { (void)stop(); }

std::string CounterUser::stop() {
  is_stopped_ = true;
  if (thread_.joinable()) thread_.join();
  return wrong_;
}

void CounterUser::ask_until_stopped() {
  for (std::size_t i = 0; !is_stopped_; ++i) {
    const auto& host = hosts_[i % hosts_.size()];
    const auto count = count_once(netns_, source_, host);
    if (count && *count <= highest_ && wrong_.empty())
      wrong_ = fmt::format("{} answered {} after {}: two copies, or a lost write", host.to_string(),
                           *count, highest_);
    if (count) {
      highest_ = std::max(highest_, *count);
      ++answers_;
    }
    poll(nullptr, 0, static_cast<int>(kDialPause.count()));
  }
}

void WindowTest::SetUp() {
  seed_ = static_cast<std::uint64_t>(
      from_environment("ICON_SEED", static_cast<std::int64_t>(std::random_device{}())));
  random_.seed(seed_);
  MoveWorldTest::SetUp();
}

std::int64_t WindowTest::rounds() const { return from_environment("ICON_DEATHS", 1); }

bool WindowTest::is_wanted(Victim victim) const {
  const char* only = std::getenv("ICON_VICTIM");
  return only == nullptr || std::string_view(only) == name_of(victim);
}

std::int64_t WindowTest::data_values() const {
  return (from_environment("ICON_DEATHS_MB", kDataMb) << 20) / kDataValueBytes;
}

DataStore WindowTest::data_at(const std::string& host) const {
  auto data = data_;
  data.redis.address = address(host);
  return data;
}

std::vector<int> WindowTest::icon_processes(const std::string& host) const {
  const std::string group = "/icon/" + short_id(world_->lab().supervisor_id(host).value()) + "/";
  std::vector<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const int pid = std::atoi(entry.path().filename().c_str());
    if (pid == 0) continue;
    const auto groups = read_file(entry.path().string() + "/cgroup", 1 << 16);
    if (groups && groups->find(group) != std::string::npos) found.push_back(pid);
  }
  return found;
}

// What runs at a host in the project's name, but for the lab's own programs.
std::vector<int> WindowTest::processes_of(const std::string& host) const {
  auto found = icon_processes(host);
  std::error_code error;
  const auto netns = std::filesystem::path("/run/netns/" + world_->lab().netns(host));
  const std::string directory = world_->lab().host_directory(host) + "/";
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const int pid = std::atoi(entry.path().filename().c_str());
    if (pid == 0) continue;
    const auto name = read_file(entry.path().string() + "/comm", 64).value_or("");
    if (!name.starts_with("icon-") || name.starts_with("icon-lab")) continue;
    const auto words = read_file(entry.path().string() + "/cmdline", 1 << 16).value_or("");
    if (words.find(directory) != std::string::npos ||
        std::filesystem::equivalent(entry.path() / "ns/net", netns, error))
      found.push_back(pid);
  }
  return found;
}

// icon-pages and their keepers, or the first alone.
std::vector<int> WindowTest::page_servers(const std::string& host, bool keepers) const {
  const std::string directory = world_->lab().host_directory(host) + "/";
  std::vector<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const int pid = std::atoi(entry.path().filename().c_str());
    if (pid == 0) continue;
    const auto name = read_file(entry.path().string() + "/comm", 64).value_or("");
    if (name != "icon-pages\n" && !(keepers && name == "icon-keeper\n")) continue;
    const auto words = read_file(entry.path().string() + "/cmdline", 1 << 16).value_or("");
    if (words.find(directory) != std::string::npos) found.push_back(pid);
  }
  return found;
}

// How long the window lasts when nobody dies.
Millis WindowTest::measure_window() {
  const auto id = order_move(here_, there_);
  wait_for_phase(here_, id, "commit");
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(icon::test::eventually([&] {
    const auto log = read_file(world_->log_file(there_), 16 << 20).value_or("");
    return std::regex_search(log,
                             std::regex("\"migration.resident\",\"migration\":\"" + id + "\""));
  }));
  const auto end = std::chrono::steady_clock::now();
  EXPECT_TRUE(expect_one_copy(id, here_, there_));
  return std::chrono::duration_cast<Millis>(end - start);
}

void WindowTest::strike(Victim victim, Millis cut_for) {
  const bool is_source = victim == Victim::kSource || victim == Victim::kSourceHost;
  const std::string host = is_source ? here_ : there_;
  switch (victim) {
    case Victim::kSource:
    case Victim::kDestination:
      must(world_->kill_supervisor(host));
      must(world_->start_supervisor(host));
      return;
    case Victim::kSourceHost:
    case Victim::kDestinationHost:
      must(world_->kill_supervisor(host));
      for (const int pid : processes_of(host)) kill(pid, SIGKILL);
      must(world_->start_supervisor(host));
      return;
    case Victim::kCopy:
      for (const int pid : icon_processes(host))
        if (read_file("/proc/" + std::to_string(pid) + "/comm", 64).value_or("") == "icon-agent\n")
          kill(pid, SIGKILL);
      return;
    case Victim::kRestore:
      for (const int pid : icon_processes(host))
        if (random_() % 2 == 0) kill(pid, SIGKILL);
      return;
    case Victim::kPages:
      for (const int pid : page_servers(host)) kill(pid, SIGKILL);
      return;
    case Victim::kLink:
      must(world_->lab().set_link("host-" + host, {.up = false}));
      std::this_thread::sleep_for(cut_for);
      must(world_->lab().set_link("host-" + host, {.up = true}));
      return;
  }
}

// One copy with all its data, or none and somebody who says so.
void WindowTest::expect_end(Victim victim, const std::string& id, Tally& tally) {
  const bool may_lose = victim == Victim::kSourceHost || victim == Victim::kDestinationHost ||
                        victim == Victim::kPages;
  const auto begin = std::chrono::steady_clock::now();
  std::string state_here, state_there;
  EXPECT_TRUE(icon::test::eventually(
      [&] {
        state_here = icon_state(here_);
        state_there = icon_state(there_);
        const int run = (state_here == "running") + (state_there == "running");
        const int lost = (state_here == "failed") + (state_there == "failed");
        if (run + lost != 1 || state_here == "migrating" || !page_servers(there_, true).empty())
          return false;
        const bool is_here = state_here == "running";
        return run == 0 || (icon_processes(is_here ? there_ : here_).empty() &&
                            !icon_processes(is_here ? here_ : there_).empty());
      },
      kEndMax))
      << state_here << " at the source, " << state_there << " at the destination";
  tally.longest_end =
      std::max(tally.longest_end,
               std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now() - begin));
  const auto end_here = outcome(here_, id);
  EXPECT_TRUE(end_here == "done" || end_here == "rolled_back") << end_here;
  if (state_here != "running" && state_there != "running") {
    const std::string& loser = state_here == "failed" ? here_ : there_;
    const auto icon = world_->get(loser, "/v1/icons/redis");
    ASSERT_TRUE(icon);
    EXPECT_TRUE(may_lose) << boost::json::serialize(*icon);
    EXPECT_NE(icon->at("error").as_string(), "") << "a loss without a word";
    EXPECT_TRUE(icon::test::eventually(
        [&] { return icon_processes(here_).empty() && icon_processes(there_).empty(); }));
    ++tally.lost;
    return;
  }
  if (state_there == "running") {
    EXPECT_EQ(end_here, "done");
    std::swap(here_, there_);
    ++tally.moved;
  } else {
    EXPECT_EQ(end_here, "rolled_back");
    ++tally.stayed;
  }
  EXPECT_EQ(count_damaged(data_at(here_), no_poll).value_or(-1), 0);
}

void WindowTest::begin_again() {
  for (const std::string host : {"a", "b"})
    if (icon_state(host) != "none") {
      const auto gone = world_->run_icon(host, {"stop", "redis"});
      EXPECT_TRUE(gone) << gone.error().message;
    }
  here_ = "a";
  there_ = "b";
  start_service();
  must(wait_for_redis(data_at("a"), [](std::int64_t ms) -> Status {
    std::this_thread::sleep_for(Millis(ms));  // redis tells nobody when it is ready
    return {};
  }));
  must(write_data(data_at("a"), no_poll));
}

void WindowTest::one_death(Victim victim, Tally& tally) {
  const Millis after(
      static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(window_.count() + 1)));
  const Millis cut_for(
      1 + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(kCutMax.count())));
  SCOPED_TRACE(fmt::format("seed {}: the {} dies {} ms after the commit began, {} to {}", seed_,
                           name_of(victim), after.count(), here_, there_));
  auto users = load(here_);
  CounterUser counter(world_->lab().netns("client"), world_->lab().address("client").value(),
                      {{address("a"), kRedisPort}, {address("b"), kRedisPort}});
  const auto id = order_move(here_, there_);
  wait_for_phase(here_, id, "commit");
  std::this_thread::sleep_for(after);  // the moment is the test's subject
  tally.inside += !page_servers(there_).empty();
  strike(victim, cut_for);
  const int lost = tally.lost;
  expect_end(victim, id, tally);
  const bool is_lost = tally.lost > lost;
  const auto answers = counter.answers();
  if (!is_lost) {
    EXPECT_TRUE(icon::test::eventually([&] { return counter.answers() > answers; }));
  }
  EXPECT_EQ(counter.stop(), "");
  const auto report = users.report();
  // It ends when its last connection does.
  if (!is_lost) {
    ASSERT_TRUE(report) << report.error().message;
  }
  if (report) {
    EXPECT_EQ(report->total_replies.wrong, 0);
    EXPECT_EQ(report->total_replies.duplicated, 0);
    EXPECT_EQ(report->total_replies.reordered, 0);
  }
  if (victim == Victim::kSource || victim == Victim::kDestination || victim == Victim::kLink)
    expect_all_answered(users.stop());
  ++tally.rounds;
  if (is_lost && !HasFailure()) begin_again();
}

void WindowTest::run(const std::vector<Victim>& victims) {
  window_ = measure_window();
  for (const Victim victim : victims) {
    if (!is_wanted(victim)) continue;
    Tally tally;
    while (tally.rounds < rounds() && !HasFailure()) one_death(victim, tally);
    std::cout << fmt::format(
                     "seed {}: the {} died {} times within {} ms of the commit, {} of them while "
                     "the copy waited for pages: {} moved, {} stayed, {} lost aloud; the longest "
                     "end {} ms",
                     seed_, name_of(victim), tally.rounds, window_.count(), tally.inside,
                     tally.moved, tally.stayed, tally.lost, tally.longest_end.count())
              << std::endl;
  }
}

}  // namespace icon::lab
