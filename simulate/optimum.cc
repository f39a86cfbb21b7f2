#include "simulate/optimum.h"

#include <glpk.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "simulate/demand.h"

namespace icon::simulate {
namespace {

constexpr double kPerCredit = 1e6;
constexpr int kBranchesMax = 2'000;  // of the search tree; counted, not timed: the same every time
constexpr int kBisections = 40;

// One hour of one service at one node, beside the same hour at the origin.
struct Choice {
  std::size_t service = 0;
  std::int64_t hour = 0;
  std::int32_t node = kOrigin;
  double gain = 0;  // credits, before the cost
  double cost = 0;
};

double hour_cost(const Node& node, const World& world) {
  return static_cast<double>(node.price_ucredits) * 3600 / static_cast<double>(world.slot_seconds) /
         kPerCredit;
}

struct Programme {
  std::vector<Choice> choices;
  double at_origin = 0;  // credits
};

Programme programme_of(const World& world, const agent::Policy& policy) {
  Programme programme;
  const auto curve = hour_curve(policy);
  const auto allowed = policy.decision_policy().providers;
  for (std::size_t i = 0; i < world.services.size(); ++i)
    for (std::int64_t hour = 0; hour < world.hours; ++hour) {
      const auto& service = world.services[i];
      const auto origin = worth_per_hour(world, service, hour, kOrigin, curve);
      programme.at_origin += static_cast<double>(origin) / kPerCredit;
      for (std::size_t n = 0; n < world.nodes.size(); ++n) {
        const auto place = static_cast<std::int32_t>(n);
        const auto& node = world.nodes[n];
        if (allowed.check({node.name, node.domain, node.id, false})) continue;
        if (policy.max_price_ucredits && node.price_ucredits > *policy.max_price_ucredits) continue;
        const auto worth = worth_per_hour(world, service, hour, place, curve);
        const Choice choice{i, hour, place, static_cast<double>(worth - origin) / kPerCredit,
                            hour_cost(node, world)};
        // Else the origin is as good, and free.
        if (choice.gain > choice.cost) programme.choices.push_back(choice);
      }
    }
  return programme;
}

struct Deleter {
  void operator()(glp_prob* problem) const { glp_delete_prob(problem); }
};
using Problem = std::unique_ptr<glp_prob, Deleter>;

// One column per choice. Rows: an ICON is at one place; a node has so many slots; a purse so much.
Problem problem_of(const World& world, const agent::Policy& policy, const Programme& programme) {
  Problem problem(glp_create_prob());
  glp_set_obj_dir(problem.get(), GLP_MAX);
  const auto hours = static_cast<std::size_t>(world.hours);
  const auto places = world.services.size() * hours;
  const auto slots = world.nodes.size() * hours;
  glp_add_rows(problem.get(), static_cast<int>(places + slots + world.services.size()));
  for (std::size_t i = 0; i < places; ++i)
    glp_set_row_bnds(problem.get(), static_cast<int>(i + 1), GLP_UP, 0, 1);
  for (std::size_t i = 0; i < slots; ++i)
    glp_set_row_bnds(problem.get(), static_cast<int>(places + i + 1), GLP_UP, 0,
                     static_cast<double>(world.nodes[i / hours].slots));
  for (std::size_t i = 0; i < world.services.size(); ++i)
    glp_set_row_bnds(problem.get(), static_cast<int>(places + slots + i + 1), GLP_UP, 0,
                     static_cast<double>(policy.budget_ucredits) / kPerCredit);
  glp_add_cols(problem.get(), static_cast<int>(programme.choices.size()));
  for (std::size_t i = 0; i < programme.choices.size(); ++i) {
    const auto& choice = programme.choices[i];
    const auto hour = static_cast<std::size_t>(choice.hour);
    const int column = static_cast<int>(i + 1);
    glp_set_col_kind(problem.get(), column, GLP_BV);
    glp_set_obj_coef(problem.get(), column, choice.gain - choice.cost);
    const int rows[] = {
        0, static_cast<int>(choice.service * hours + hour + 1),
        static_cast<int>(places + static_cast<std::size_t>(choice.node) * hours + hour + 1),
        static_cast<int>(places + slots + choice.service + 1)};
    const double values[] = {0, 1, 1, choice.cost};
    glp_set_mat_col(problem.get(), column, 3, rows, values);
  }
  return problem;
}

void count_node(glp_tree* tree, void* count) {
  if (glp_ios_reason(tree) == GLP_ISELECT && ++*static_cast<int*>(count) > kBranchesMax)
    glp_ios_terminate(tree);
}

wire::MicroCredits in_ucredits(double credits) {
  return static_cast<wire::MicroCredits>(std::llround(credits * kPerCredit));
}

Result<Optimum> solve(const World& world, const agent::Policy& policy, const Programme& programme) {
  if (programme.choices.empty())
    return Optimum{Optimum::Kind::kExact, in_ucredits(programme.at_origin), 0};
  glp_term_out(GLP_OFF);  // its cuts are announced on stdout otherwise
  const auto problem = problem_of(world, policy, programme);
  glp_smcp simplex;
  glp_init_smcp(&simplex);
  simplex.msg_lev = GLP_MSG_OFF;
  if (glp_simplex(problem.get(), &simplex) != 0 || glp_get_status(problem.get()) != GLP_OPT)
    return fail(Code::kInternal, "optimum: the linear programme has no solution");
  const auto relaxed = programme.at_origin + glp_get_obj_val(problem.get());
  glp_iocp integer;
  glp_init_iocp(&integer);
  integer.msg_lev = GLP_MSG_OFF;
  integer.cov_cuts = integer.mir_cuts = GLP_ON;
  int nodes = 0;
  integer.cb_func = count_node;
  integer.cb_info = &nodes;
  if (glp_intopt(problem.get(), &integer) != 0 || glp_mip_status(problem.get()) != GLP_OPT)
    return Optimum{Optimum::Kind::kRelaxed, in_ucredits(relaxed), std::nullopt};
  double cost = 0;
  for (std::size_t i = 0; i < programme.choices.size(); ++i)
    cost += glp_mip_col_val(problem.get(), static_cast<int>(i + 1)) * programme.choices[i].cost;
  return Optimum{Optimum::Kind::kExact,
                 in_ucredits(programme.at_origin + glp_mip_obj_val(problem.get())),
                 in_ucredits(cost)};
}

// A node that is nearer to its region's edge and cheaper than another is the better one for
// everybody while slots are not scarce: only these matter.
std::vector<std::uint32_t> best_nodes(const World& world) {
  std::vector<std::uint32_t> order(world.nodes.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    const auto &x = world.nodes[a], &y = world.nodes[b];
    if (x.region != y.region) return x.region < y.region;
    if (x.access_us != y.access_us) return x.access_us < y.access_us;
    return x.price_ucredits != y.price_ucredits ? x.price_ucredits < y.price_ucredits : a < b;
  });
  std::vector<std::uint32_t> best;
  for (const auto index : order) {
    const auto& node = world.nodes[index];
    if (!best.empty() && world.nodes[best.back()].region == node.region &&
        world.nodes[best.back()].price_ucredits <= node.price_ucredits)
      continue;
    best.push_back(index);
  }
  return best;
}

// Of one service, by Lagrange: for every price of money mu >= 0,
//   mu * budget + sum over hours of the best (gain - (1 + mu) * cost)
// is no less than what any schedule within the budget gains. The least over mu is found by halving.
double bound_of(const std::vector<std::vector<Choice>>& by_hour, double budget) {
  const auto at = [&](double mu, double& spent) {
    double sum = mu * budget;
    spent = 0;
    for (const auto& choices : by_hour) {
      double best = 0, cost = 0;
      for (const auto& choice : choices) {
        const auto gain = choice.gain - (1 + mu) * choice.cost;
        if (gain > best) best = gain, cost = choice.cost;
      }
      sum += best;
      spent += cost;
    }
    return sum;
  };
  double spent = 0;
  double least = at(0, spent);
  if (spent <= budget) return least;
  double low = 0, high = 1;
  for (int i = 0; i < kBisections && (at(high, spent), spent > budget); ++i) high *= 2;
  for (int i = 0; i < kBisections; ++i) {
    const auto middle = (low + high) / 2;
    least = std::min(least, at(middle, spent));
    (spent > budget ? low : high) = middle;
  }
  return least;
}

}  // namespace

std::string_view to_string(Optimum::Kind kind) {
  switch (kind) {
    case Optimum::Kind::kExact:
      return "exact";
    case Optimum::Kind::kRelaxed:
      return "relaxed";
    case Optimum::Kind::kUnscarce:
      break;
  }
  return "bound";
}

Result<Optimum> best_possible(const World& world, const agent::Policy& policy) {
  const auto most =
      world.services.size() * static_cast<std::size_t>(world.hours) * world.nodes.size();
  if (most <= 50 * kExactChoicesMax) {
    const auto programme = programme_of(world, policy);
    if (programme.choices.size() <= kExactChoicesMax) return solve(world, policy, programme);
  }
  return Optimum{Optimum::Kind::kUnscarce, unscarce_bound(world, policy), std::nullopt};
}

wire::MicroCredits unscarce_bound(const World& world, const agent::Policy& policy) {
  const auto curve = hour_curve(policy);
  const auto nodes = best_nodes(world);
  double sum = 0;
  std::vector<std::vector<Choice>> by_hour(static_cast<std::size_t>(world.hours));
  for (std::size_t i = 0; i < world.services.size(); ++i) {
    const auto& service = world.services[i];
    for (std::int64_t hour = 0; hour < world.hours; ++hour) {
      auto& choices = by_hour[static_cast<std::size_t>(hour)];
      choices.clear();
      const auto origin = worth_per_hour(world, service, hour, kOrigin, curve);
      sum += static_cast<double>(origin) / kPerCredit;
      for (const auto node : nodes) {
        const auto place = static_cast<std::int32_t>(node);
        const auto worth = worth_per_hour(world, service, hour, place, curve);
        const Choice choice{i, hour, place, static_cast<double>(worth - origin) / kPerCredit,
                            hour_cost(world.nodes[node], world)};
        if (choice.gain > choice.cost) choices.push_back(choice);
      }
    }
    sum += bound_of(by_hour, static_cast<double>(policy.budget_ucredits) / kPerCredit);
  }
  return in_ucredits(sum);
}

}  // namespace icon::simulate
