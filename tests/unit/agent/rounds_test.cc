// What Rounds writes to the disk when an order has ended, and in which order: it may be killed in
// between.
#include "agent/rounds.h"

#include <sys/inotify.h>

#include "tests/unit/agent/kinship_fixture.h"

namespace icon::agent {
namespace {

// The files of a directory as they change.
class Watch {
 public:
  explicit Watch(const std::string& directory) : fd_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    EXPECT_GE(inotify_add_watch(fd_.get(), directory.c_str(), IN_MODIFY | IN_MOVED_TO), 0);
  }
  // Since the last call, the earliest first.
  std::vector<std::string> changed() {
    alignas(inotify_event) char buffer[64 << 10];
    const ssize_t count = read(fd_.get(), buffer, sizeof buffer);
    std::vector<std::string> names;
    for (ssize_t at = 0; at < count;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      if (event->len > 0) names.emplace_back(event->name);
      at += static_cast<ssize_t>(sizeof *event + event->len);
    }
    return names;
  }

 private:
  UniqueFd fd_;
};

class RoundsTest : public KinshipTest {
 protected:
  // Another process of the parent, in which it is heard how the order ended.
  void order_ends(action::MoveOutcome outcome) {
    {
      auto process = parent();
      order_child(*process, false);
    }
    SupervisorLink link(directory_ / "parent/supervisor.sock");
    TaskGroup tasks(loop_);
    LatencyTable table(clock_);
    LatencyMonitor monitor(loop_, table);
    Policy policy;
    policy.budget_ucredits = kKinBudget;
    Self self;
    self.icon = parent_.public_key();
    self.supervisor = KeyPair::generate().public_key();
    {
      Rounds rounds(loop_, clock_, link, tasks, table, monitor,
                    {policy, Identity{copy(parent_), {}, {}, false}, directory_ / "parent", {}},
                    [](const Event&) {});
      rounds.arrived(self, false);
      Watch watch(directory_ / "parent");
      rounds.move_ended({"m1", outcome, ""});
      changed_ = watch.changed();
      purse_ = *rounds.status().purse;
      end_tasks(loop_, tasks);
    }
  }
  std::size_t first_change_of(std::string_view name) const {
    const auto found = std::find_if(changed_.begin(), changed_.end(),
                                    [&](const auto& each) { return each.starts_with(name); });
    return static_cast<std::size_t>(found - changed_.begin());
  }
  std::string child_on_disk() {
    const auto text = read_file(directory_ / "parent/family.json", kFamilyBytesMax);
    const auto family = json::parse_object(*text, kFamilyBytesMax);
    const auto& children = family->at("children").as_array();
    return children.empty() ? "" : std::string(children[0].at("state").as_string());
  }

  std::vector<std::string> changed_;
  Wallet::Totals purse_;
};

TEST_F(RoundsTest, AReplicaServesOnTheDiskOnceItIsPaidFor) {
  order_ends(action::MoveOutcome::kMoved);
  EXPECT_EQ(child_on_disk(), "serving");
  EXPECT_EQ(purse_.spent_ucredits, 300);
  EXPECT_LT(first_change_of("purse.db"), first_change_of("family.json"));
  EXPECT_LT(first_change_of("family.json"), changed_.size());
}

TEST_F(RoundsTest, AReplicaThatFailedIsForgottenBeforeItsMoneyIsFree) {
  order_ends(action::MoveOutcome::kFailed);
  EXPECT_EQ(child_on_disk(), "");
  EXPECT_EQ(purse_.held_ucredits, 0);
  EXPECT_EQ(purse_.spent_ucredits, 0);
  EXPECT_LT(first_change_of("family.json"), first_change_of("purse.db"));
  EXPECT_LT(first_change_of("purse.db"), changed_.size());
}

// Nobody knows: the money waits with the child.
TEST_F(RoundsTest, AnOrderThatNobodyKnowsOfStaysPaidFor) {
  order_ends(action::MoveOutcome::kUnknown);
  EXPECT_EQ(child_on_disk(), "ordered");
  EXPECT_EQ(purse_.held_ucredits, 300);
}

}  // namespace
}  // namespace icon::agent
