#include "discovery/trace.h"

#include <dirent.h>
#include <gtest/gtest.h>

#include "tests/unit/discovery/run_task.h"

namespace icon::discovery {
namespace {

// "192.0.2.1 * 192.0.2.3": one hop per word.
TraceResult trace_of(const char* target, std::vector<const char*> hops) {
  TraceResult trace;
  trace.target = *Address::parse(target);
  int ttl = 0;
  for (const char* hop : hops) {
    ++ttl;
    Hop made;
    made.ttl = ttl;
    if (std::string(hop) != "*") made.address = *Address::parse(hop);
    trace.hops.push_back(made);
  }
  return trace;
}

std::string shown(const Hop& hop) {
  return (hop.address ? hop.address->to_string() : "*") + (hop.inferred ? "?" : "");
}

TEST(FillSilentHops, TakesWhatLiesBetweenTheSameHops) {
  std::vector<TraceResult> traces{
      trace_of("198.51.100.1", {"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}),
      trace_of("198.51.100.2", {"*", "*", "192.0.2.3", "192.0.2.9"}),
      trace_of("198.51.100.3", {"192.0.2.1", "*", "192.0.2.3"}),
      trace_of("198.51.100.4", {"192.0.2.1", "*", "192.0.2.33"}),
      trace_of("198.51.100.5", {"192.0.2.8", "*", "192.0.2.3"}),
  };
  fill_silent_hops(traces);
  EXPECT_EQ(shown(traces[1].hops[0]), "192.0.2.1?");
  EXPECT_EQ(shown(traces[1].hops[1]), "192.0.2.2?");
  EXPECT_EQ(shown(traces[2].hops[1]), "192.0.2.2?");
  EXPECT_EQ(shown(traces[3].hops[1]), "*");
  EXPECT_EQ(shown(traces[4].hops[1]), "*");
}

TEST(FillSilentHops, NothingToLearnFrom) {
  std::vector<TraceResult> traces;
  fill_silent_hops(traces);
  traces = {trace_of("198.51.100.1", {"*", "192.0.2.2"}),
            trace_of("2001:db8::1", {"2001:db8::7", "2001:db8::8"}), trace_of("198.51.100.2", {})};
  fill_silent_hops(traces);
  EXPECT_EQ(shown(traces[0].hops[0]), "*");
}

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
