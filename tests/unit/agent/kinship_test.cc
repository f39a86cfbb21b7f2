// What an ICON does with its relatives' words, on its own disk; nobody answers what it says.
#include "tests/unit/agent/kinship_fixture.h"

namespace icon::agent {
namespace {

// Without the paper nothing could go back at the end: it is on the disk as soon as the money is in
// the purse.
TEST_F(KinshipTest, AShareIsKeptWhateverComesOfTheWordBesideIt) {
  auto process = child();
  process->kinship->hear({share(400)});
  EXPECT_EQ(process->wallet->totals().budget_ucredits, 400);
  EXPECT_TRUE(has_share_on_disk());
  // Where its elders are nobody has said yet: the next process reads that, too.
  child()->kinship->hear({word()});
  EXPECT_TRUE(has_share_on_disk());
}

TEST_F(KinshipTest, AShareThatADeadProcessTookIsKeptByTheNext) {
  child()->kinship->hear({share(400)});
  std::filesystem::remove(directory_ / "child/family.json");  // it died in between
  auto next = child();
  next->kinship->hear({share(400), word()});
  EXPECT_EQ(next->wallet->totals().budget_ucredits, 400) << "the same money";
  EXPECT_TRUE(has_share_on_disk());
}

// Its parent hears for the first time after more than the hold's life that it runs.
TEST_F(KinshipTest, AChildThatIsHeardOfLateIsPaidFor) {
  {
    auto process = parent();
    order_child(*process, false);
  }
  auto next = parent();
  clock_.advance(kHoldLifetime + Millis(1'000));
  next->wallet->expire(clock_.utc_ms());
  EXPECT_EQ(next->wallet->available(), kKinBudget);
  next->policy.replicate.max = 1;
  EXPECT_EQ(next->kinship->replicas().running, 0) << "another may be made in its place";
  next->kinship->hear({report()});
  EXPECT_EQ(next->wallet->totals().spent_ucredits, 300);
  EXPECT_EQ(next->wallet->totals().held_ucredits, 0);
  EXPECT_EQ(next->kinship->replicas().running, 1);
  clock_.advance(Millis(1'000));
  next->kinship->hear({report()});
  EXPECT_EQ(next->wallet->totals().spent_ucredits, 300) << "once";
}

}  // namespace
}  // namespace icon::agent
