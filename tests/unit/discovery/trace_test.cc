#include "discovery/trace.h"

#include <dirent.h>
#include <gtest/gtest.h>

#include "tests/unit/discovery/run_task.h"

namespace icon::discovery {
namespace {

int open_descriptors() {
  int count = 0;
  DIR* directory = opendir("/proc/self/fd");
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

TEST(SystemTracer, LoopbackIsOneHopAwayAndNothingStaysOpen) {
  IoContext loop(1);
  SystemTracer tracer;
  const std::vector<Address> targets{*Address::parse("127.0.0.1"), *Address::parse("127.0.0.2"),
                                     *Address::parse("127.0.0.1"), *Address::parse("224.0.0.1")};
  (void)run_task(loop, tracer.trace(targets, {}));  // the loop opens its own descriptors once
  const int before = open_descriptors();
  const auto report = run_task(loop, tracer.trace(targets, {}));
  ASSERT_TRUE(report) << report.error().message;
  ASSERT_EQ(report->traces.size(), 3u);
  EXPECT_TRUE(report->traces[0].reached);
  EXPECT_TRUE(report->traces[1].reached);
  EXPECT_EQ(report->traces[1].hops.size(), 1u);
  EXPECT_EQ(report->traces[2].note, "not the address of one host");
  EXPECT_EQ(open_descriptors(), before);
}

TEST(SystemTracer, NoTargets) {
  SystemTracer tracer;
  const auto report = run_task(tracer.trace({}, {}));
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->traces.empty());
  EXPECT_EQ(report->probes_sent, 0u);
}

TEST(SystemTracer, LimitsAreChecked) {
  SystemTracer tracer;
  TraceLimits limits;
  limits.window = 0;
  EXPECT_EQ(run_task(tracer.trace({*Address::parse("127.0.0.1")}, limits)).error().code,
            Code::kInvalid);
  limits = {};
  limits.targets_max = 1;
  const auto report =
      run_task(tracer.trace({*Address::parse("127.0.0.1"), *Address::parse("127.0.0.2")}, limits));
  EXPECT_EQ(report->traces.size(), 1u);
}

}  // namespace
}  // namespace icon::discovery
