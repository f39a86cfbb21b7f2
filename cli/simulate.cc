#include "cli/simulate.h"

#include <fmt/format.h>
#include <signal.h>

#include <boost/json/serialize.hpp>

#include "agent/policy.h"
#include "base/file.h"
#include "cli/table.h"
#include "cli/text.h"
#include "simulate/plots.h"
#include "simulate/replay.h"
#include "simulate/report.h"

namespace icon::cli {
namespace {

constexpr int kInterrupted = 130;
constexpr Millis kSilence{2'000};

volatile sig_atomic_t interrupted = 0;
void on_interrupt(int) { interrupted = 1; }

// While it lives ctrl-C only sets a flag.
class Interruptible {
 public:
  Interruptible() {
    interrupted = 0;
    struct sigaction action {};
    action.sa_handler = on_interrupt;
    sigaction(SIGINT, &action, &before_);
  }
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;
  ~Interruptible() { sigaction(SIGINT, &before_, nullptr); }

 private:
  struct sigaction before_ {};
};

// Says every two seconds how far it has come; nothing when it is quicker.
class Progress {
 public:
  Progress(Context& context, std::int64_t hours)
      : context_(context), hours_(hours), next_(context.clock.steady() + kSilence) {}
  void done(double hours_done) {
    if (context_.clock.steady() < next_) return;
    next_ = context_.clock.steady() + kSilence;
    context_.err << fmt::format("simulated {:.1f} of {} hours\n", hours_done, hours_) << std::flush;
  }

 private:
  Context& context_;
  std::int64_t hours_;
  SteadyTime next_;
};

Outcome<agent::Policy> read_policy(const std::string& path) {
  const auto text = read_file(path, agent::kPolicyBytesMax);
  if (!text) return failure(text.error());
  auto policy = agent::parse_policy(*text);
  if (!policy) return failure(kUsage, policy.error().message, "docs/policy.md lists the keys.");
  return std::move(*policy);
}

Outcome<simulate::Matrix> matrix_for(const SimulateOptions& options) {
  if (options.matrix_file.empty()) {
    auto made = simulate::synthetic_matrix(
        options.regions.empty() ? std::vector<std::string>{"eu", "us", "asia"} : options.regions,
        options.seed);
    if (!made) return failure(kUsage, made.error().message);
    return std::move(*made);
  }
  const auto text = read_file(options.matrix_file, simulate::kMatrixBytesMax);
  if (!text) return failure(text.error());
  auto matrix = simulate::read_matrix(*text);
  if (!matrix) return failure(kUsage, matrix.error().message);
  if (options.regions.empty()) return std::move(*matrix);
  auto chosen = simulate::choose_regions(*matrix, options.regions);
  if (!chosen) return failure(kUsage, chosen.error().message);
  return std::move(*chosen);
}

std::string percent(std::optional<std::int64_t> permille) {
  return permille ? fmt::format("{:.1f} %", static_cast<double>(*permille) / 10) : "-";
}

std::string distance(const simulate::Outcome& outcome, const simulate::Optimum& optimum) {
  const auto* most = optimum.kind == simulate::Optimum::Kind::kExact ? "" : "at most ";
  return fmt::format(
      "{0}{1} under the offline optimum ({2}), {0}{3} of what it gains over the origin; latency "
      "and "
      "slots cost {0}{4} more than there\n",
      most, percent(simulate::missed_net_permille(outcome, optimum)), to_string(optimum.kind),
      percent(simulate::missed_gain_permille(outcome, optimum)),
      percent(simulate::above_cost_permille(outcome, optimum)));
}

std::string as_text(const simulate::World& world, const agent::Policy& policy,
                    const simulate::Outcome& outcome, const simulate::Optimum& optimum,
                    bool colour) {
  std::string text =
      fmt::format("{} ICONs, {} nodes in {} regions, {} users in {} prefixes, {} hours\n",
                  world.services.size(), world.nodes.size(), world.matrix.names.size(), world.users,
                  world.prefixes, world.hours);
  const auto day = simulate::day_of(outcome);
  Table table({{""},
               {"P50", Table::Align::kRight},
               {"P95", Table::Align::kRight},
               {"IN OBJECTIVE", Table::Align::kRight},
               {"COST", Table::Align::kRight},
               {"WORTH LESS COST", Table::Align::kRight},
               {"MOVES", Table::Align::kRight}});
  const auto add = [&](const std::string& name, const simulate::RttTally& tally,
                       wire::MicroCredits cost, wire::MicroCredits net, std::int64_t moves) {
    table.add({name, human_us(tally.percentile_us(50)), human_us(tally.percentile_us(95)),
               percent(tally.within_permille(policy.objective_us)), human_credits(cost),
               human_credits(net), std::to_string(moves)});
  };
  add("all stay", day.origin, 0, outcome.origin_worth, 0);
  add("ICON", day.icon, outcome.cost, outcome.worth - outcome.cost, outcome.moves);
  table.add({std::string(optimum.kind == simulate::Optimum::Kind::kExact ? "optimum" : "bound"),
             std::string("-"), std::string("-"), std::string("-"), std::string("-"),
             human_credits(optimum.net), std::string("-")});
  text += table.render(colour) + distance(outcome, optimum);
  text += fmt::format(
      "at most {} moves of one ICON in any hour; {} times outbid, {} times out of "
      "money; {} decisions\n",
      outcome.moves_in_an_hour_max, outcome.outbid, outcome.expelled, outcome.decisions);
  return text;
}

Done write_plots(const std::string& directory, const simulate::Outcome& outcome) {
  if (directory.empty()) return {};
  if (const auto made = make_directories(directory); !made) return failure(made.error());
  for (const auto& plot : simulate::plots_of(outcome))
    if (const auto written = write_file_atomic(directory + "/" + plot.file, plot.svg, 0644);
        !written)
      return failure(written.error());
  return {};
}

}  // namespace

int run_simulation(Context& context, const SimulateOptions& options) {
  auto policy = read_policy(options.policy_file);
  if (!policy) return report(context, policy.error());
  if (!policy->residency.anywhere())
    return report(context,
                  {kUsage, "the policy has a residency, and no simulated node says where it stands",
                   "Leave 'residency' out, or name the nodes with allow and deny."});
  auto matrix = matrix_for(options);
  if (!matrix) return report(context, matrix.error());
  const auto world = simulate::make_world({options.nodes, options.services, options.users,
                                           options.hours, options.seed, std::move(*matrix)},
                                          *policy);
  if (!world) return report(context, {kUsage, world.error().message, ""});

  const Interruptible interruptible;
  Progress progress(context, options.hours);
  const auto outcome =
      simulate::simulate(*world, *policy, {options.seed, options.watched}, [&](double hours_done) {
        progress.done(hours_done);
        return interrupted == 0;
      });
  if (!outcome && outcome.error().code == Code::kCancelled) return kInterrupted;
  if (!outcome) return report(context, failure(outcome.error()).value());
  const auto optimum = simulate::best_possible(*world, *policy);
  if (interrupted != 0) return kInterrupted;
  if (!optimum) return report(context, failure(optimum.error()).value());
  if (const auto written = write_plots(options.plots, *outcome); !written)
    return report(context, written.error());
  context.out << (context.json ? boost::json::serialize(simulate::to_json(
                                     *world, *policy, options.seed, *outcome, *optimum)) +
                                     "\n"
                               : as_text(*world, *policy, *outcome, *optimum, context.colour));
  return kOk;
}

namespace {

json::Object as_json(const simulate::Life& life, const agent::Policy& policy) {
  return {{"rtt_us_p50", life.rtt.percentile_us(50)},
          {"rtt_us_p95", life.rtt.percentile_us(95)},
          {"within_objective_permille", life.rtt.within_permille(policy.objective_us)},
          {"worth_ucredits", life.worth},
          {"cost_ucredits", life.cost},
          {"moves", life.moves}};
}

std::string as_text(const simulate::Replay& found, const agent::Policy& policy, bool colour) {
  Table table({{""},
               {"P50", Table::Align::kRight},
               {"P95", Table::Align::kRight},
               {"IN OBJECTIVE", Table::Align::kRight},
               {"COST", Table::Align::kRight},
               {"WORTH LESS COST", Table::Align::kRight},
               {"MOVES", Table::Align::kRight}});
  const auto add = [&](const std::string& name, const simulate::Life& life) {
    table.add({name, human_us(life.rtt.percentile_us(50)), human_us(life.rtt.percentile_us(95)),
               percent(life.rtt.within_permille(policy.objective_us)), human_credits(life.cost),
               human_credits(life.worth - life.cost), std::to_string(life.moves)});
  };
  add("as recorded", found.recorded);
  add(policy.name, found.other);
  return fmt::format("{} rounds, {}; decided the same in {} of them\n", found.rounds,
                     human_duration(found.ms), found.alike) +
         table.render(colour);
}

}  // namespace

int run_what_if(Context& context, const WhatIfOptions& options) {
  const auto policy = read_policy(options.policy_file);
  if (!policy) return report(context, policy.error());
  const auto text = read_file(options.record_file, agent::kRecordBytesMax);
  if (!text) return report(context, failure(text.error()).value());
  const auto rounds = agent::read_record(*text);
  if (!rounds) return report(context, {kUsage, rounds.error().message, ""});
  const auto found = simulate::replay(*rounds, *policy);
  context.out << (context.json ? boost::json::serialize(
                                     json::Object{{"rounds", found.rounds},
                                                  {"alike", found.alike},
                                                  {"ms", found.ms},
                                                  {"recorded", as_json(found.recorded, *policy)},
                                                  {"other", as_json(found.other, *policy)}}) +
                                     "\n"
                               : as_text(found, *policy, context.colour));
  return kOk;
}

}  // namespace icon::cli
