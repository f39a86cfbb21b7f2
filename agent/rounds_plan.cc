// Rounds, as far as an operator only wants to know: `icon plan`. The same look at users, providers
// and money as in any round, and nothing is done, kept or bid for.
#include <fmt/format.h>

#include "agent/rounds.h"
#include "base/log.h"

namespace icon::agent {
namespace {

constexpr std::size_t kPlansMax = 8;  // who waits at a time

}  // namespace

void Rounds::want_plan(std::string request) {
  if (plans_.size() < kPlansMax)
    plans_.push_back(std::move(request));
  else
    tasks_.spawn("plan", answer_plan(std::move(request), {}, "too many ask for plans"));
}

void Rounds::refuse_plans(const std::string& why) {
  for (auto& request : std::exchange(plans_, {}))
    tasks_.spawn("plan", answer_plan(std::move(request), {}, why));
}

budget::Evidence Rounds::planned() const {
  if (auto judged = kinship_.judge(here_, own_users()); judged && judged->end)
    return std::move(judged->evidence);
  auto seen = observations();
  auto input = next_decision(seen);
  const bool is_quiet = nothing_to_ask();
  if (is_quiet) input.candidates.clear();  // nobody was asked
  auto evidence = budget::decide(input, clock_.utc_ms()).evidence;
  if (is_quiet && !input.prefixes.empty()) {
    evidence.reason = "objective_met";
    evidence.message = fmt::format("all users are within {} ms: nobody is asked for a price",
                                   static_cast<double>(options_.policy.objective_us) / 1000);
  }
  return evidence;
}

Task<void> Rounds::plan_task(std::int64_t round) {
  const auto evidence = planned().to_json();
  const auto requests = std::exchange(plans_, {});
  for (std::size_t i = 0; i < requests.size(); ++i) co_await answer_plan(requests[i], evidence, {});
  later(event::DecidedStay{round});
}

Task<void> Rounds::answer_plan(std::string request, json::Object evidence, std::string error) {
  const auto status =
      co_await link_.post_plan(std::move(request), std::move(evidence), std::move(error));
  if (!status) log::debug("plan.not_sent", {{"message", status.error().message}});
}

}  // namespace icon::agent
