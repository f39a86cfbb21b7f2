// Deaths in the window between the commit of a move and its last page in place: who dies, at which
// seeded random moment, and what must be true afterwards, whatever the runtime.
//
//   export ICON_DEATHS=20 ICON_DEATHS_MB=256 ICON_SEED=7 ICON_VICTIM='source host'
//   build/dev/bin/endurance_lab_test --gtest_filter='WindowDeaths.*'
#pragma once

#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/lab/move_world.h"

namespace icon::lab {

// Asks both hosts in turn, over a new connection each time, to count one further. The counter is in
// the service's memory: an answer that is not above all answers before it comes from a second copy,
// or from one that has lost an acknowledged write.
class CounterUser {
 public:
  CounterUser(std::string netns, Address source, std::vector<Endpoint> hosts);
  ~CounterUser();
  CounterUser(const CounterUser&) = delete;
  CounterUser& operator=(const CounterUser&) = delete;

  std::int64_t answers() const { return answers_; }
  // Ends it. What was wrong, or nothing.
  std::string stop();

 private:
  void ask_until_stopped();

  const std::string netns_;
  const Address source_;
  const std::vector<Endpoint> hosts_;
  std::atomic<bool> is_stopped_ = false;
  std::atomic<std::int64_t> answers_ = 0;
  std::int64_t highest_ = 0;  // the thread's until it has ended, as wrong_
  std::string wrong_;
  std::thread thread_;
};

enum class Victim {
  kSource,           // its supervisor, by SIGKILL; another one starts at once
  kSourceHost,       // all that runs there, the original too; its supervisor starts again
  kDestination,      // its supervisor
  kDestinationHost,  // all that runs there, the copy and its pages too
  kCopy,             // the agent of what came of the ICON there
  kRestore,          // half of the processes of what comes of the ICON there, CRIU's too
  kPages,            // icon-pages, while the copy needs it
  kLink,             // cut, and mended after a while
};

const char* name_of(Victim victim);

inline const std::vector<Victim> kVictims{Victim::kSource,      Victim::kSourceHost,
                                          Victim::kDestination, Victim::kDestinationHost,
                                          Victim::kPages,       Victim::kLink};

class WindowTest : public MoveWorldTest {
 protected:
  void SetUp() override;
  std::int64_t data_values() const override;
  std::int64_t rounds() const;          // ICON_DEATHS
  bool is_wanted(Victim victim) const;  // ICON_VICTIM
  std::uint64_t random() { return random_(); }
  std::vector<int> icon_processes(const std::string& host) const;
  void strike(Victim victim, Millis cut_for);
  DataStore data_at(const std::string& host) const;

  std::uint64_t seed_ = 0;
  std::string here_ = "a";
  std::string there_ = "b";

  // Moves back and forth; in each move a victim dies at a random moment of the window: ICON_DEATHS
  // times the first, then the next.
  void run(const std::vector<Victim>& victims);

 private:
  struct Tally {
    int rounds = 0, inside = 0, moved = 0, stayed = 0, lost = 0;
    Millis longest_end{0};
  };
  std::vector<int> processes_of(const std::string& host) const;
  std::vector<int> page_servers(const std::string& host, bool keepers = false) const;
  Millis measure_window();
  void one_death(Victim victim, Tally& tally);
  void expect_end(Victim victim, const std::string& id, Tally& tally);
  void begin_again();

  std::mt19937_64 random_;
  Millis window_{0};
};

}  // namespace icon::lab
