#include "lab/demo_result.h"

#include <fmt/format.h>

#include <algorithm>

namespace icon::lab {
namespace {

double ms(std::int64_t us) { return static_cast<double>(us) / 1000; }

json::Object rtt_json(const LoadReport& report) {
  return {{"p50", ms(report.rtt_us_p50)}, {"p95", ms(report.rtt_us_p95)}};
}

std::string row(const std::string& name, const std::string& what, const LoadReport& report) {
  return fmt::format("  {:<10} {:<34} {:>9} {:>9}\n", name, what, ms_text(report.rtt_us_p50),
                     ms_text(report.rtt_us_p95));
}

}  // namespace

std::string credits_text(std::int64_t ucredits) {
  auto text = fmt::format("{}{}.{:06}", ucredits < 0 ? "-" : "", std::abs(ucredits) / 1'000'000,
                          std::abs(ucredits) % 1'000'000);
  while (text.ends_with('0') && text[text.size() - 3] != '.') text.pop_back();
  return text + " credits";
}

std::string ms_text(std::int64_t us) { return fmt::format("{:.1f} ms", ms(us)); }

std::string bytes_text(std::int64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

const NetworkResult* DemoResult::moved_users() const {
  const auto most = std::max_element(
      networks.begin(), networks.end(),
      [](const auto& a, const auto& b) { return a.before.connections < b.before.connections; });
  return most == networks.end() ? nullptr : &*most;
}

std::int64_t DemoResult::connections() const {
  std::int64_t sum = 0;
  for (const auto& network : networks) sum += network.end.connections;
  return sum;
}

std::int64_t DemoResult::alive() const {
  std::int64_t sum = 0;
  for (const auto& network : networks) sum += network.end.alive;
  return sum;
}

ReplyCounts DemoResult::replies() const {
  ReplyCounts sum;
  for (const auto& network : networks) {
    sum += network.end.total_replies;
    sum += network.anew_end.total_replies;
  }
  return sum;
}

std::vector<std::int64_t> DemoResult::gaps_us() const {
  std::vector<std::int64_t> gaps;
  // A gap that began before anybody noticed the move ends up in the window before.
  for (const auto& network : networks)
    for (std::size_t i = 0; i < network.during.silences_us.size(); ++i)
      gaps.push_back(std::max(network.during.silences_us[i], i < network.before.silences_us.size()
                                                                 ? network.before.silences_us[i]
                                                                 : 0));
  return gaps;
}

json::Object DemoResult::to_json() const {
  json::Array network_list, rejected_list;
  for (const auto& network : networks)
    network_list.push_back(
        json::Object{{"name", network.name},
                     {"connections", network.end.connections},
                     {"connections_alive", network.end.alive},
                     {"rtt_ms", json::Object{{"before", rtt_json(network.before)},
                                             {"open", rtt_json(network.open)},
                                             {"after", rtt_json(network.anew)}}}});
  for (const auto& provider : rejected)
    rejected_list.push_back(json::Object{{"provider", provider.provider},
                                         {"domain", provider.domain},
                                         {"reason", provider.reason},
                                         {"message", provider.message}});
  const auto counts = replies();
  json::Object object{{"connections", connections()},
                      {"connections_alive", alive()},
                      {"replies", counts.right},
                      {"replies_lost", counts.lost},
                      {"replies_duplicated", counts.duplicated},
                      {"replies_reordered", counts.reordered},
                      {"replies_wrong", counts.wrong},
                      {"gap_ms_p50", ms(percentile(gaps_us(), 50))},
                      {"gap_ms_max", ms(percentile(gaps_us(), 100))},
                      {"service_gap_ms", ms(service_gap_us)},
                      {"rejected", std::move(rejected_list)},
                      {"networks", std::move(network_list)},
                      {"icon", icon},
                      {"from", from},
                      {"to", to},
                      {"migration", migration},
                      {"budget_ucredits", budget_ucredits},
                      {"spent_ucredits", spent_ucredits},
                      {"data_bytes", data_bytes},
                      {"data_damaged", data_damaged},
                      {"bytes_moved", bytes_moved},
                      {"took_ms", took_ms}};
  if (const auto* moved = moved_users())
    object["rtt_ms"] = json::Object{{"network", moved->name},
                                    {"before", rtt_json(moved->before)},
                                    {"open", rtt_json(moved->open)},
                                    {"after", rtt_json(moved->anew)}};
  return object;
}

std::string DemoResult::summary() const {
  auto text = fmt::format("{:<47} {:>9} {:>9}\n", "Round trip of a request", "p50", "p95");
  for (const auto& network : networks) {
    text += row(network.name, "before the move", network.before);
    text += row("", "open connections, through the tunnel", network.open);
    text += row("", fmt::format("new connections, straight to {}", to), network.anew);
  }
  const auto counts = replies();
  text += fmt::format(
      "Connections alive      {} of {}\n"
      "Replies                {} right, {} lost, {} repeated, {} out of order, {} wrong\n"
      "Gap the clients saw    p50 {}, max {} (service stopped: {})\n"
      "Moved                  {} to {}, {} for {} of data\n"
      "Spent                  {} of {}\n",
      alive(), connections(), counts.right, counts.lost, counts.duplicated, counts.reordered,
      counts.wrong, ms_text(percentile(gaps_us(), 50)), ms_text(percentile(gaps_us(), 100)),
      ms_text(service_gap_us), from, to, bytes_text(bytes_moved), bytes_text(data_bytes),
      credits_text(spent_ucredits), credits_text(budget_ucredits));
  for (const auto& provider : rejected)
    text += fmt::format("Rejected               {}: {}\n", provider.provider, provider.message);
  return text;
}

std::vector<std::string> failed_expectations(const DemoResult& result,
                                             const DemoExpectations& expectations) {
  std::vector<std::string> failed;
  if (result.alive() != result.connections() || result.connections() == 0)
    failed.push_back(
        fmt::format("all connections alive: {} of {} are", result.alive(), result.connections()));
  for (const auto& network : result.networks)
    if (network.anew_end.alive != network.anew_end.connections)
      failed.push_back(fmt::format("all new connections of {} alive: {} of {} are", network.name,
                                   network.anew_end.alive, network.anew_end.connections));
  const auto counts = result.replies();
  if (counts.right == 0) failed.push_back("replies arrive: none did");
  if (counts.lost + counts.duplicated + counts.reordered + counts.wrong > 0)
    failed.push_back(fmt::format(
        "no reply lost, repeated, out of order or wrong: {} lost, {} repeated, {} out of order, "
        "{} wrong",
        counts.lost, counts.duplicated, counts.reordered, counts.wrong));
  if (result.data_damaged > 0)
    failed.push_back(fmt::format("the data arrives whole: {} values are missing or differ",
                                 result.data_damaged));
  const auto* moved = result.moved_users();
  if (moved == nullptr || moved->anew.rtt_us_p50 == 0 ||
      moved->anew.rtt_us_p50 * expectations.rtt_divisor >= moved->before.rtt_us_p50)
    failed.push_back(fmt::format(
        "the moved users' median round trip falls below 1/{}: {} before, {} after",
        expectations.rtt_divisor, ms_text(moved == nullptr ? 0 : moved->before.rtt_us_p50),
        ms_text(moved == nullptr ? 0 : moved->anew.rtt_us_p50)));
  for (const auto& name : expectations.rejected)
    if (std::none_of(result.rejected.begin(), result.rejected.end(),
                     [&](const auto& provider) { return provider.provider == name; }))
      failed.push_back(fmt::format("provider {} is rejected: it was not", name));
  if (result.spent_ucredits <= 0 || result.spent_ucredits > result.budget_ucredits)
    failed.push_back(fmt::format("money is spent within the budget: {} of {}",
                                 credits_text(result.spent_ucredits),
                                 credits_text(result.budget_ucredits)));
  return failed;
}

}  // namespace icon::lab
