#include "budget/evidence.h"

#include <array>
#include <limits>
#include <utility>

#include "budget/pace.h"

namespace icon::budget {
namespace {

constexpr std::int64_t kNumberMax = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kTextBytesMax = 4096;
constexpr std::size_t kEstimateDetailBytesMax = 512;
constexpr std::size_t kWouldChangeMax = 2 * kEvidenceCandidatesMax;

constexpr std::array<std::pair<Verdict, std::string_view>, 3> kVerdicts{{
    {Verdict::kWon, "won"},
    {Verdict::kLost, "lost"},
    {Verdict::kRejected, "rejected"},
}};

Result<std::int64_t> number(const json::Object& object, std::string_view key) {
  return json::get_int(object, key, -kNumberMax, kNumberMax);
}

Result<std::string> text(const json::Object& object, std::string_view key) {
  return json::get_string(object, key, kTextBytesMax);
}

// An absent or null field is "not known".
Result<std::optional<std::int64_t>> optional_number(const json::Object& object,
                                                    std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value == nullptr || value->is_null()) return std::optional<std::int64_t>();
  ICON_TRY(const auto known, number(object, key));
  return std::optional<std::int64_t>(known);
}

json::Value or_null(const std::optional<std::int64_t>& value) {
  return value ? json::Value(*value) : json::Value(nullptr);
}

template <class Item>
json::Array array_of(const std::vector<Item>& items, json::Object (*write)(const Item&)) {
  json::Array array;
  for (const auto& item : items) array.push_back(write(item));
  return array;
}

template <class Item>
Result<std::vector<Item>> items_of(const json::Object& object, std::string_view key,
                                   std::size_t items_max,
                                   Result<Item> (*read)(const json::Object&)) {
  ICON_TRY(const auto* array, json::get_array(object, key, items_max));
  std::vector<Item> items;
  for (const auto& value : *array) {
    const auto* entry = value.if_object();
    if (entry == nullptr)
      return fail(Code::kInvalid, "field '" + std::string(key) + "' holds something else");
    ICON_TRY(Item item, read(*entry));
    items.push_back(std::move(item));
  }
  return items;
}

json::Object write_prefix(const EvidencePrefix& prefix) {
  return {{"prefix", prefix.prefix},
          {"connections", prefix.connections},
          {"rtt_us", prefix.rtt_us},
          {"samples", prefix.samples},
          {"value_ucredits", prefix.value_ucredits}};
}

Result<EvidencePrefix> read_prefix(const json::Object& object) {
  EvidencePrefix prefix;
  ICON_TRY(prefix.prefix, text(object, "prefix"));
  ICON_TRY(prefix.connections, number(object, "connections"));
  ICON_TRY(prefix.rtt_us, number(object, "rtt_us"));
  ICON_TRY(prefix.samples, number(object, "samples"));
  ICON_TRY(prefix.value_ucredits, number(object, "value_ucredits"));
  return prefix;
}

json::Object write_estimate(const EvidenceEstimate& estimate) {
  return {{"prefix", estimate.prefix},
          {"rtt_us", or_null(estimate.estimate.rtt_us)},
          {"basis", to_string(estimate.estimate.basis)},
          {"confidence", estimate.estimate.confidence},
          {"detail", estimate.estimate.detail},
          {"value_ucredits", estimate.value_ucredits}};
}

Result<EvidenceEstimate> read_estimate(const json::Object& object) {
  EvidenceEstimate estimate;
  ICON_TRY(estimate.prefix, text(object, "prefix"));
  ICON_TRY(estimate.estimate.rtt_us, optional_number(object, "rtt_us"));
  ICON_TRY(const auto basis, text(object, "basis"));
  estimate.estimate.basis = estimate_basis(basis);
  ICON_TRY(estimate.estimate.confidence,
           json::get_int_or(object, "confidence", kCertain, 0, kCertain));
  ICON_TRY(estimate.estimate.detail,
           json::get_string_or(object, "detail", "", kEstimateDetailBytesMax));
  ICON_TRY(estimate.value_ucredits, number(object, "value_ucredits"));
  return estimate;
}

json::Object write_candidate(const EvidenceCandidate& candidate) {
  return {{"name", candidate.name},
          {"id", candidate.id},
          {"domain", candidate.domain},
          {"source", candidate.source},
          {"verdict", to_string(candidate.verdict)},
          {"reason", candidate.reason},
          {"message", candidate.message},
          {"price_ucredits", or_null(candidate.price_ucredits)},
          {"slots", candidate.slots},
          {"scored", candidate.scored},
          {"price_horizon_ucredits", candidate.price_horizon_ucredits},
          {"value_ucredits", candidate.value_ucredits},
          {"gain_ucredits", candidate.gain_ucredits},
          {"net_ucredits", candidate.net_ucredits},
          {"loses_by_ucredits", candidate.loses_by_ucredits},
          {"replica_gain_ucredits", or_null(candidate.replica_gain_ucredits)},
          {"replica_net_ucredits", or_null(candidate.replica_net_ucredits)},
          {"winning_price_ucredits", or_null(candidate.winning_price_ucredits)},
          {"saved_us", or_null(candidate.saved_us)},
          {"cost_per_ms_ucredits", or_null(candidate.cost_per_ms_ucredits)},
          {"payback_ms", or_null(candidate.payback_ms)},
          {"estimates", array_of(candidate.estimates, write_estimate)}};
}

Result<Verdict> verdict_of(std::string_view name) {
  for (const auto& [value, known] : kVerdicts)
    if (known == name) return value;
  return fail(Code::kInvalid, "field 'verdict' is none of won, lost, rejected");
}

Result<EvidenceCandidate> read_candidate(const json::Object& object) {
  EvidenceCandidate candidate;
  ICON_TRY(candidate.name, text(object, "name"));
  ICON_TRY(candidate.id, text(object, "id"));
  ICON_TRY(candidate.domain, text(object, "domain"));
  ICON_TRY(candidate.source, text(object, "source"));
  ICON_TRY(const auto verdict, text(object, "verdict"));
  ICON_TRY(candidate.verdict, verdict_of(verdict));
  ICON_TRY(candidate.reason, text(object, "reason"));
  ICON_TRY(candidate.message, text(object, "message"));
  ICON_TRY(candidate.price_ucredits, optional_number(object, "price_ucredits"));
  ICON_TRY(candidate.slots, number(object, "slots"));
  ICON_TRY(candidate.scored, json::get_bool(object, "scored"));
  ICON_TRY(candidate.price_horizon_ucredits, number(object, "price_horizon_ucredits"));
  ICON_TRY(candidate.value_ucredits, number(object, "value_ucredits"));
  ICON_TRY(candidate.gain_ucredits, number(object, "gain_ucredits"));
  ICON_TRY(candidate.net_ucredits, number(object, "net_ucredits"));
  ICON_TRY(candidate.loses_by_ucredits, number(object, "loses_by_ucredits"));
  ICON_TRY(candidate.replica_gain_ucredits, optional_number(object, "replica_gain_ucredits"));
  ICON_TRY(candidate.replica_net_ucredits, optional_number(object, "replica_net_ucredits"));
  ICON_TRY(candidate.winning_price_ucredits, optional_number(object, "winning_price_ucredits"));
  ICON_TRY(candidate.saved_us, optional_number(object, "saved_us"));
  ICON_TRY(candidate.cost_per_ms_ucredits, optional_number(object, "cost_per_ms_ucredits"));
  ICON_TRY(candidate.payback_ms, optional_number(object, "payback_ms"));
  ICON_TRY(candidate.estimates, items_of(object, "estimates", kEvidencePrefixesMax, read_estimate));
  return candidate;
}

json::Object write_change(const WouldChange& change) {
  return {{"code", change.code},
          {"provider", change.provider},
          {"amount", change.amount},
          {"message", change.message}};
}

Result<WouldChange> read_change(const json::Object& object) {
  WouldChange change;
  ICON_TRY(change.code, text(object, "code"));
  ICON_TRY(change.provider, text(object, "provider"));
  ICON_TRY(change.amount, number(object, "amount"));
  ICON_TRY(change.message, text(object, "message"));
  return change;
}

// One list for writing and reading, so that neither forgets a field.
template <class Self, class Visit>
void visit_numbers(Self& self, Visit visit) {
  visit("decided_ms", self.decided_ms);
  visit("here_value_ucredits", self.here_value_ucredits);
  visit("here_price_ucredits", self.here_price_ucredits);
  visit("objective_us", self.objective_us);
  visit("zero_us", self.zero_us);
  visit("percentile", self.percentile);
  visit("horizon_ms", self.horizon_ms);
  visit("value_per_connection_hour_ucredits", self.value_per_connection_hour_ucredits);
  visit("margin_ucredits", self.margin_ucredits);
  visit("budget_left_ucredits", self.budget_left_ucredits);
  visit("rounds_needed", self.rounds_needed);
  visit("rounds_won", self.rounds_won);
  visit("prefixes_total", self.prefixes_total);
  visit("connections_total", self.connections_total);
  visit("candidates_total", self.candidates_total);
}

template <class Self, class Visit>
void visit_texts(Self& self, Visit visit) {
  visit("outcome", self.outcome);
  visit("reason", self.reason);
  visit("message", self.message);
  visit("to_name", self.to_name);
  visit("to_id", self.to_id);
  visit("here_name", self.here_name);
  visit("here_id", self.here_id);
}

}  // namespace

std::string_view to_string(Verdict verdict) {
  for (const auto& [value, name] : kVerdicts)
    if (value == verdict) return name;
  return "rejected";
}

json::Object Evidence::to_json() const {
  json::Object object{{"version", kEvidenceVersion}};
  visit_texts(*this, [&](std::string_view key, const std::string& value) { object[key] = value; });
  visit_numbers(*this, [&](std::string_view key, std::int64_t value) { object[key] = value; });
  if (!promise.empty()) object["promise"] = promise;
  object["affordable_ucredits"] = or_null(affordable_ucredits);
  if (payback_ms) object["payback_ms"] = *payback_ms;
  object["money_weight_permille"] = money_weight_permille;
  object["prefixes"] = array_of(prefixes, write_prefix);
  object["candidates"] = array_of(candidates, write_candidate);
  object["would_change"] = array_of(would_change, write_change);
  return object;
}

Result<Evidence> Evidence::from_json(const json::Object& object) {
  ICON_TRY(const auto version, number(object, "version"));
  if (version != kEvidenceVersion)
    return fail(Code::kInvalid,
                "evidence of version " + std::to_string(version) + " is not known to this program");
  Evidence evidence;
  Status status;
  const auto read = [&](auto get, std::string_view key, auto& value) {
    if (!status) return;
    auto result = get(object, key);
    if (result)
      value = std::move(*result);
    else
      status = fail(result.error());
  };
  visit_texts(evidence, [&](std::string_view key, auto& value) { read(text, key, value); });
  visit_numbers(evidence, [&](std::string_view key, auto& value) { read(number, key, value); });
  ICON_CHECK(status);
  ICON_TRY(evidence.promise, json::get_string_or(object, "promise", "", kTextBytesMax));
  ICON_TRY(evidence.affordable_ucredits, optional_number(object, "affordable_ucredits"));
  ICON_TRY(evidence.payback_ms, optional_number(object, "payback_ms"));
  ICON_TRY(evidence.money_weight_permille,
           json::get_int_or(object, "money_weight_permille", kFaceValuePermille, 0, kNumberMax));
  ICON_TRY(evidence.prefixes, items_of(object, "prefixes", kEvidencePrefixesMax, read_prefix));
  ICON_TRY(evidence.candidates,
           items_of(object, "candidates", kEvidenceCandidatesMax, read_candidate));
  ICON_TRY(evidence.would_change, items_of(object, "would_change", kWouldChangeMax, read_change));
  return evidence;
}

}  // namespace icon::budget
