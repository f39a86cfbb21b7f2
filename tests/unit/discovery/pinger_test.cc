// Pings on the real kernel, towards this machine only.
#include "discovery/pinger.h"

#include <gtest/gtest.h>

#include "tests/unit/discovery/run_task.h"

namespace icon::discovery {
namespace {

TEST(Pinger, MeasuresWhoAnswersAndOnlyThem) {
  const Address one = *Address::parse("127.0.0.1");
  const Address other = *Address::parse("127.9.9.9");
  PingLimits limits;
  limits.spacing = Millis(1);
  const auto outcomes = run_task(ping({one, other}, limits));
  ASSERT_TRUE(outcomes) << outcomes.error().message;
  ASSERT_EQ(outcomes->size(), 2u);
  EXPECT_EQ((*outcomes)[0].target, one);
  EXPECT_EQ((*outcomes)[1].target, other);
  for (const auto& outcome : *outcomes) {
    EXPECT_EQ(outcome.answers, 3);
    ASSERT_TRUE(outcome.rtt_us);
    EXPECT_GT(*outcome.rtt_us, 0);
  }
}

TEST(Pinger, SilenceIsNoFigure) {
  PingLimits limits;
  limits.packets = 1;
  limits.answer_wait = Millis(50);
  // A link-local address without its link: the kernel sends nothing.
  const auto outcomes = run_task(ping({*Address::parse("fe80::1")}, limits));
  ASSERT_TRUE(outcomes) << outcomes.error().message;
  EXPECT_FALSE((*outcomes)[0].rtt_us);
  EXPECT_EQ((*outcomes)[0].answers, 0);
}

TEST(Pinger, HasLimits) {
  std::vector<Address> many(33);
  EXPECT_EQ(run_task(ping(many, {})).error().code, Code::kLimit);
  EXPECT_EQ(run_task(ping({}, {})).error().code, Code::kInvalid);
}

}  // namespace
}  // namespace icon::discovery
