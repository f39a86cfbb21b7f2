// TracePlan: whatever strangers answer, in whatever order, a trace ends, within its limits.
#include "discovery/trace_plan.h"
#include "tests/fuzz/byte_source.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::discovery {
namespace {

constexpr std::uint64_t kCookie = 7;
constexpr SteadyTime kBegin{std::chrono::seconds(1)};
constexpr int kStepsMax = 400;
constexpr int kTargets = 12;

Address target(std::size_t i) {
  // Three in each block.
  return Address::v4(static_cast<std::uint32_t>(0x0b000000u + (i / 3 << 8) + i % 3));
}

TraceLimits limits_from(fuzz::ByteSource& source) {
  TraceLimits limits;
  const std::uint8_t bits = source.byte();
  limits.local_stops = (bits & 1) != 0;
  limits.global_stops = (bits & 2) != 0;
  limits.flows_max = (bits & 4) != 0 ? kFlowsMax : 1;
  limits.first_ttl = (bits & 8) != 0 ? 5 : 0;
  limits.replies_per_hop = (bits & 16) != 0 ? 2 : 1;
  limits.open_max = (bits & 32) != 0 ? 3 : 64;
  limits.middle_ttl = (bits & 64) != 0 ? 0 : 4;
  limits.ttl_max = 12;
  limits.probe_timeout = Millis(100);
  return limits;
}

ProbeReply reply_from(fuzz::ByteSource& source) {
  ProbeReply reply;
  const std::uint8_t kind = source.byte();
  reply.kind = static_cast<ProbeReply::Kind>(kind % 3);
  reply.target = target(source.byte() % (kTargets + 1));
  reply.from = (kind & 64) != 0 ? reply.target : Address::v4(0xc6120000u + source.byte() % 24);
  if ((kind & 128) == 0) {
    const std::uint8_t tag = source.byte();
    reply.tag = ProbeTag{tag % 16 + 1, (tag >> 4) % kAttemptsMax + 1,
                         (kind & 32) != 0 ? source.byte() % kFlowsMax : 0};
  }
  if ((kind & 16) == 0) reply.cookie = kCookie + (source.byte() == 0 ? 1 : 0);
  return reply;
}

}  // namespace

ICON_FUZZ_TARGET(trace_plan) {
  fuzz::ByteSource source(input);
  const TraceLimits limits = limits_from(source);
  std::vector<Address> targets;
  for (std::size_t i = 0; i < kTargets; ++i) targets.push_back(target(i));
  TracePlan plan(targets, TraceMethod::kUdp, limits, kCookie, kBegin);
  SteadyTime now = kBegin;
  std::uint64_t sent = 0;
  for (int step = 0; step < kStepsMax && !plan.done() && !source.empty(); ++step) {
    const std::uint8_t what = source.byte();
    if (what < 100) {
      while (const auto probe = plan.next(now)) {
        ++sent;
        ICON_FUZZ_REQUIRE(probe->tag.ttl >= 1 && probe->tag.ttl <= limits.ttl_max);
        if (what == 1) plan.unsendable(*probe, "no");
      }
    } else if (what < 230) {
      (void)plan.on_reply(reply_from(source), now + Millis(what % 8));
    } else {
      now += Millis(what - 200);
      plan.expire(now);
    }
  }
  // From here on nobody answers: it ends by itself.
  for (int rounds = 0; !plan.done(); ++rounds) {
    ICON_FUZZ_REQUIRE(rounds < 20'000);
    now += Millis(20);
    plan.expire(now);
    while (plan.next(now)) ++sent;
  }
  ICON_FUZZ_REQUIRE(sent == plan.probes_sent());
  ICON_FUZZ_REQUIRE(sent <= kTargets * 12u * (kAttemptsMax + kFlowsMax));
  for (const TraceResult& result : plan.results())
    ICON_FUZZ_REQUIRE(result.hops.size() <= static_cast<std::size_t>(limits.ttl_max));
  ICON_FUZZ_REQUIRE(plan.routers().size() <= 24u + kTargets);
}

}  // namespace icon::discovery
