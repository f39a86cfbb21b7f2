#include "budget/explain.h"

#include <fmt/format.h>

#include <ctime>

#include "base/keys.h"

namespace icon::budget {
namespace {

// Names come from strangers and end on a terminal: no control characters, C1 ones (0xC2 0x80 to
// 0x9F in UTF-8) included.
std::string printable(std::string text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7f) text[i] = '?';
    if (byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0)
      text[i] = text[i + 1] = '?';
  }
  return text;
}

std::string credits(MicroCredits amount) { return format_credits(amount) + " credits"; }

std::string millis(std::int64_t us) {
  const bool negative = us < 0;
  const auto magnitude =
      negative ? 0 - static_cast<std::uint64_t>(us) : static_cast<std::uint64_t>(us);
  return fmt::format("{}{}.{} ms", negative ? "-" : "", magnitude / 1000, magnitude % 1000 / 100);
}

std::string duration(std::int64_t ms) {
  if (ms % 3'600'000 == 0) return fmt::format("{} h", ms / 3'600'000);
  if (ms % 60'000 == 0) return fmt::format("{} min", ms / 60'000);
  return fmt::format("{}.{:03} s", ms / 1000, std::abs(ms % 1000));
}

std::string when(UtcMillis at_ms) {
  const std::time_t seconds = at_ms / 1000;
  std::tm parts{};
  char text[40];
  if (gmtime_r(&seconds, &parts) == nullptr ||
      std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts) == 0)
    return fmt::format("{} ms", at_ms);
  return text;
}

std::string basis_in_words(EstimateBasis basis) {
  switch (basis) {
    case EstimateBasis::kDelivered:
      return "as it was when the ICON was there";
    case EstimateBasis::kMeasured:
      return "measured by the provider";
    case EstimateBasis::kOnPath:
      return "it is on their path";
    case EstimateBasis::kConfigured:
      return "as the policy says";
    case EstimateBasis::kViaHere:
      return "at worst, by way of here";
    case EstimateBasis::kNone:
      break;
  }
  return "not known";
}

// Where a figure came from, and how far it is believed.
std::string source_in_words(const RttEstimate& estimate) {
  std::string words = basis_in_words(estimate.basis);
  if (estimate.confidence < kCertain) words += fmt::format(", {} % sure", estimate.confidence);
  if (!estimate.detail.empty()) words += ": " + estimate.detail;
  return words;
}

// An operator's order is not weighed: there is nothing to tell about worth.
bool weighed(const Evidence& e) { return e.zero_us > 0; }

void render_head(const Evidence& e, std::vector<std::string>& lines) {
  lines.push_back(fmt::format("Decided {}: {}.", when(e.decided_ms), e.message));
  if (!e.promise.empty()) lines.push_back("A promise was broken: " + e.promise + ".");
  if (!weighed(e)) return;
  lines.push_back(fmt::format(
      "The policy wants {} or less for {} of 100 measurements; a connection served so well is "
      "worth {} per hour, one at {} nothing.",
      millis(e.objective_us), e.percentile, credits(e.value_per_connection_hour_ucredits),
      millis(e.zero_us)));
  lines.push_back(fmt::format(
      "It looks {} ahead, has {} left, and wants a move to gain more than {}.",
      duration(e.horizon_ms), credits(e.budget_left_ucredits), credits(e.margin_ucredits)));
  if (e.payback_ms)
    lines.push_back(
        fmt::format("What it costs comes in again within {}.", duration(*e.payback_ms)));
  if (e.affordable_ucredits)
    lines.push_back(fmt::format(
        "Its budget must last: {} may be spent in that time, and a credit counts as {}.{:03}.",
        credits(*e.affordable_ucredits), e.money_weight_permille / 1000,
        e.money_weight_permille % 1000));
}

void render_prefixes(const Evidence& e, std::vector<std::string>& lines) {
  lines.push_back(
      fmt::format("Seen: {} connections from {} networks.", e.connections_total, e.prefixes_total));
  for (const auto& prefix : e.prefixes)
    lines.push_back(fmt::format("  {}: {} connections at {} ({} measurements), worth {}.",
                                prefix.prefix, prefix.connections, millis(prefix.rtt_us),
                                prefix.samples, credits(prefix.value_ucredits)));
  const auto shown = static_cast<std::int64_t>(e.prefixes.size());
  if (e.prefixes_total > shown)
    lines.push_back(fmt::format("  and {} smaller networks.", e.prefixes_total - shown));
  lines.push_back(fmt::format("Staying at {} is worth {} and costs {} over the horizon.",
                              e.here_name.empty() ? "the present host" : e.here_name,
                              credits(e.here_value_ucredits), credits(e.here_price_ucredits)));
}

void render_candidate(const EvidenceCandidate& c, std::vector<std::string>& lines) {
  std::string title = c.name;
  if (!c.domain.empty() && c.domain != c.name) title += " (" + c.domain + ")";
  if (!c.id.empty()) title += ", key " + short_id(c.id);
  if (c.price_ucredits) title += ", " + credits(*c.price_ucredits) + " for a slot";
  const std::string verdict = c.verdict == Verdict::kWon    ? "won"
                              : c.verdict == Verdict::kLost ? "lost"
                                                            : "rejected";
  lines.push_back(fmt::format("{}: {} [{}]: {}.", title, verdict, c.reason, c.message));
  if (!c.scored) return;
  for (const auto& estimate : c.estimates)
    lines.push_back(estimate.estimate.rtt_us
                        ? fmt::format("  {} would be at {} ({}), worth {}.", estimate.prefix,
                                      millis(*estimate.estimate.rtt_us),
                                      source_in_words(estimate.estimate),
                                      credits(estimate.value_ucredits))
                        : fmt::format("  how far {} would be is not known: counted as worthless.",
                                      estimate.prefix));
  lines.push_back(fmt::format("  Worth {}, {} {} than here; {} {} for the horizon; net {}.",
                              credits(c.value_ucredits),
                              credits(c.gain_ucredits < 0 ? -c.gain_ucredits : c.gain_ucredits),
                              c.gain_ucredits < 0 ? "less" : "more", c.slots,
                              c.slots == 1 ? "slot costs " + credits(c.price_horizon_ucredits)
                                           : "slots cost " + credits(c.price_horizon_ucredits),
                              credits(c.net_ucredits)));
  if (c.saved_us && c.cost_per_ms_ucredits)
    lines.push_back(
        fmt::format("  Saves {} for each connection, at {} a millisecond{}.", millis(*c.saved_us),
                    credits(*c.cost_per_ms_ucredits),
                    c.payback_ms ? "; a slot has paid for itself after " + duration(*c.payback_ms)
                                 : std::string()));
  if (c.replica_gain_ucredits && c.replica_net_ucredits)
    lines.push_back(fmt::format("  A replica there would gain {}; net {}.",
                                credits(*c.replica_gain_ucredits),
                                credits(*c.replica_net_ucredits)));
  if (c.loses_by_ucredits > 0)
    lines.push_back(fmt::format("  Short of winning by {}.", credits(c.loses_by_ucredits)));
}

}  // namespace

std::vector<std::string> render_evidence(const Evidence& evidence) {
  std::vector<std::string> lines;
  render_head(evidence, lines);
  if (weighed(evidence)) {
    render_prefixes(evidence, lines);
    if (evidence.candidates.empty()) lines.emplace_back("No provider was found.");
  }
  for (const auto& candidate : evidence.candidates) render_candidate(candidate, lines);
  const auto shown = static_cast<std::int64_t>(evidence.candidates.size());
  if (evidence.candidates_total > shown)
    lines.push_back(fmt::format("And {} more providers.", evidence.candidates_total - shown));
  if (!evidence.would_change.empty()) lines.emplace_back("What would have changed it:");
  for (const auto& change : evidence.would_change) lines.push_back("  " + change.message + ".");
  for (auto& line : lines) line = printable(std::move(line));
  return lines;
}

std::vector<std::string> render_evidence(const json::Object& evidence) {
  const auto read = Evidence::from_json(evidence);
  if (!read) return {printable("The evidence cannot be read: " + read.error().message + ".")};
  return render_evidence(*read);
}

}  // namespace icon::budget
