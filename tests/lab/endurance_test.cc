// What stays behind after many moves, and who serves when one of the two, or the link between them,
// dies at any moment between the commit and the last page. ICON_DEATHS=20 for an evening:
// tests/lab/window_world.h.
#include <map>

#include "tests/eventually.h"
#include "tests/lab/window_world.h"

namespace icon::lab {
namespace {

class EnduranceTest : public MoveWorldTest {
 protected:
  int supervisor_pid(const std::string& host) const {
    const std::string config = world_->lab().host_directory(host);
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const auto command = read_file(entry.path().string() + "/cmdline", 1 << 16);
      if (command && command->find("icon-supervisor") != std::string::npos &&
          command->find(config) != std::string::npos)
        return std::stoi(entry.path().filename());
    }
    return 0;
  }

  static std::size_t entries(const std::string& directory) {
    std::error_code error;
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(directory, error), {}));
  }

  std::size_t lines(const std::string& host, const std::string& command) const {
    Command line;
    line.argv = {"/bin/sh", "-c", command};
    const auto outcome = world_->lab().run(host, std::move(line));
    EXPECT_TRUE(outcome && outcome->ok()) << command;
    return outcome ? static_cast<std::size_t>(std::ranges::count(outcome->output, '\n')) : 0;
  }

  // Everything that a move makes at a host, counted.
  using Belongings = std::map<std::string, std::size_t>;
  void count_at(const std::string& host, Belongings& found) const {
    const std::string process = "/proc/" + std::to_string(supervisor_pid(host));
    const std::string directory = world_->lab().host_directory(host);
    const auto mounts = read_file("/proc/self/mounts", 16 << 20).value_or("");
    std::size_t mounted = 0;
    for (std::size_t at = 0; (at = mounts.find(directory, at)) != std::string::npos; ++at)
      ++mounted;
    const auto add = [&](const std::string& what, std::size_t count) {
      found[host + ": " + what] = count;
    };
    add("descriptors", entries(process + "/fd"));
    add("threads", entries(process + "/task"));
    add("mounts", mounted);
    add("checkpoints", entries(directory + "/run/checkpoints"));
    add("links", lines(host, "ip -o link"));
    add("rules", lines(host, "nft list ruleset"));
    add("routes", lines(host, "ip route show table all"));
    add("policies", lines(host, "ip rule"));
  }
  Belongings belongings() const {
    Belongings found;
    count_at("a", found);
    count_at("b", found);
    return found;
  }
  // What there is more of than before. What was counted before may have held something that was
  // about to go.
  static std::string more_than(const Belongings& before, const Belongings& now) {
    std::string more;
    for (const auto& [what, count] : now)
      if (count > before.at(what))
        more +=
            what + " " + std::to_string(before.at(what)) + " -> " + std::to_string(count) + "\n";
    return more;
  }

  std::int64_t resident_kb(const std::string& host) const {
    const auto status =
        read_file("/proc/" + std::to_string(supervisor_pid(host)) + "/status", 1 << 16)
            .value_or("");
    const auto at = status.find("VmRSS:");
    return at == std::string::npos ? 0 : std::atoll(status.c_str() + at + 6);
  }
};

TEST_F(EnduranceTest, TenMovesLeaveNothing) {
  auto users = load("a");
  const auto there_and_back = [&] {
    ASSERT_EQ(outcome("a", order_move("a", "b")), "done");
    ASSERT_EQ(outcome("b", order_move("b", "a")), "done");
  };
  there_and_back();
  there_and_back();
  // The queue of the last release lives half a second longer.
  for (const std::string host : {"a", "b"})
    EXPECT_TRUE(icon::test::eventually(
        [&] { return lines(host, "ip -o link | grep ': ih' || true") == 0; }));
  const Belongings before = belongings();
  const std::int64_t resident = resident_kb("a") + resident_kb("b");
  for (int i = 0; i < 5 && !HasFailure(); ++i) there_and_back();
  EXPECT_TRUE(icon::test::eventually([&] { return more_than(before, belongings()).empty(); }))
      << more_than(before, belongings());
  // The heaps of two processes, ten moves of 64 MB later.
  EXPECT_LT(resident_kb("a") + resident_kb("b"), resident + 16'384);
  expect_all_answered(users.stop());
  EXPECT_EQ(count_damaged(data_, no_poll).value(), 0);
}

using WindowDeaths = WindowTest;

TEST_F(WindowDeaths, OneCopyOrAClearLoss) { run(kVictims); }

}  // namespace
}  // namespace icon::lab
