// A policy is read, or every problem is said; never both, never neither, never a crash.
#include <signal.h>

#include "agent/policy.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::agent {

ICON_FUZZ_TARGET(policy) {
  const auto reading = read_policy(input);
  ICON_FUZZ_REQUIRE(reading.policy.has_value() == reading.problems.empty());
  ICON_FUZZ_REQUIRE(reading.problems.size() <= kPolicyProblemsMax);
  for (const auto& problem : reading.problems) {
    ICON_FUZZ_REQUIRE(problem.line >= 0 && !problem.message.empty());
    ICON_FUZZ_REQUIRE(!problem.to_string().empty());
  }
  if (!reading.policy) return;
  const auto& policy = *reading.policy;
  ICON_FUZZ_REQUIRE(json::canonical(policy.to_json()).has_value());
  ICON_FUZZ_REQUIRE(policy.objective_us > 0 && policy.horizon_ms > 0 && policy.rounds > 0);
  ICON_FUZZ_REQUIRE(policy.budget_ucredits >= 0 &&
                    policy.budget_ucredits <= wire::kMicroCreditsMax);
  // What a policy asks for can be put into an offer and a bid.
  ICON_FUZZ_REQUIRE(wire::Resources::from_json(policy.slot.to_json()).has_value());
  // A hook ends, and is never sent a signal that ends the service.
  const auto& replicate = policy.replicate;
  ICON_FUZZ_REQUIRE(replicate.limit_ms >= 10 && replicate.limit_ms <= 10'000);
  ICON_FUZZ_REQUIRE(replicate.command.size() <= kPolicyArgumentsMax);
  for (const int fatal : {SIGKILL, SIGTERM, SIGINT, SIGSTOP})
    ICON_FUZZ_REQUIRE(replicate.signal != fatal);
  ICON_FUZZ_REQUIRE(policy.slot_seconds > 0 && policy.slot_seconds <= wire::kSlotSecondsMax);
}

}  // namespace icon::agent
