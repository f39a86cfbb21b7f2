#include "agent/observed_round.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <set>

namespace icon::agent {
namespace {

using budget::Candidate;
using budget::PrefixView;

constexpr std::int64_t kTimeMax = std::numeric_limits<std::int64_t>::max() / 4;
constexpr std::int64_t kConnectionsMax = 1'000'000'000;
constexpr std::size_t kTextBytesMax = 512;
constexpr std::size_t kReplicaHostsMax = 64;

// Most connections first.
std::vector<std::size_t> kept_prefixes(const std::vector<PrefixView>& prefixes) {
  std::vector<std::size_t> kept(prefixes.size());
  std::iota(kept.begin(), kept.end(), 0);
  std::stable_sort(kept.begin(), kept.end(), [&](std::size_t a, std::size_t b) {
    return prefixes[a].connections > prefixes[b].connections;
  });
  if (kept.size() > budget::kEvidencePrefixesMax) kept.resize(budget::kEvidencePrefixesMax);
  return kept;
}

json::Object write_provider(const Candidate& candidate, const std::vector<std::size_t>& kept) {
  json::Array estimates, sure;
  for (const auto index : kept) {
    const auto& all = candidate.estimates;
    const auto estimate = index < all.size() ? all[index] : budget::RttEstimate{};
    estimates.push_back(estimate.rtt_us ? json::Value(*estimate.rtt_us) : json::Value(nullptr));
    sure.push_back(estimate.confidence);
  }
  json::Object object{{"name", candidate.names.name},   {"domain", candidate.names.domain},
                      {"id", candidate.names.id},       {"configured", candidate.names.configured},
                      {"source", candidate.source},     {"rtt_us", std::move(estimates)},
                      {"sure_percent", std::move(sure)}};
  if (candidate.offer) {
    object["price_ucredits"] = candidate.offer->price_ucredits;
    object["slot_seconds"] = candidate.offer->slot_seconds;
    object["country"] = candidate.offer->country;
    object["kind"] = candidate.offer->kind;
  }
  if (candidate.rejection) {
    object["rejected"] = candidate.rejection->code;
    object["why"] = candidate.rejection->message.substr(0, kTextBytesMax);
  }
  return object;
}

Result<Candidate> read_provider(const json::Object& object, std::size_t prefixes) {
  Candidate candidate;
  ICON_TRY(candidate.names.name, json::get_string(object, "name", kTextBytesMax));
  ICON_TRY(candidate.names.domain, json::get_string(object, "domain", kTextBytesMax));
  ICON_TRY(candidate.names.id, json::get_string(object, "id", kTextBytesMax));
  ICON_TRY(candidate.names.configured, json::get_bool(object, "configured"));
  ICON_TRY(candidate.source, json::get_string(object, "source", kTextBytesMax));
  if (object.contains("price_ucredits")) {
    auto& offer = candidate.offer.emplace();
    ICON_TRY(offer.price_ucredits,
             json::get_int(object, "price_ucredits", 0, wire::kMicroCreditsMax));
    ICON_TRY(offer.slot_seconds, json::get_int(object, "slot_seconds", 1, wire::kSlotSecondsMax));
    ICON_TRY(offer.country, json::get_string_or(object, "country", "", kTextBytesMax));
    ICON_TRY(offer.kind, json::get_string_or(object, "kind", "", kTextBytesMax));
  }
  if (object.contains("rejected")) {
    auto& rejection = candidate.rejection.emplace();
    ICON_TRY(rejection.code, json::get_string(object, "rejected", kTextBytesMax));
    ICON_TRY(rejection.message, json::get_string(object, "why", kTextBytesMax));
  }
  ICON_TRY(const auto* estimates, json::get_array(object, "rtt_us", prefixes));
  ICON_TRY(const auto* sure, json::get_array(object, "sure_percent", prefixes));
  if (sure->size() != estimates->size())
    return fail(Code::kInvalid, "fields 'rtt_us' and 'sure_percent' are not of one length");
  for (std::size_t i = 0; i < estimates->size(); ++i) {
    const auto& value = (*estimates)[i];
    budget::RttEstimate estimate;
    const auto percent = (*sure)[i].is_int64() ? (*sure)[i].get_int64() : -1;
    if (percent < 0 || percent > budget::kCertain)
      return fail(Code::kInvalid, "field 'sure_percent' holds no percentage");
    if (!value.is_null()) {
      const auto rtt_us = value.is_int64() ? value.get_int64() : -1;
      if (rtt_us < 0 || rtt_us > budget::kRttUsMax)
        return fail(Code::kInvalid, "field 'rtt_us' holds no round-trip time");
      estimate.basis = budget::EstimateBasis::kMeasured;
      estimate.rtt_us = rtt_us;
    }
    estimate.confidence = percent;
    candidate.estimates.push_back(std::move(estimate));
  }
  return candidate;
}

json::Object write_replicas(const budget::ReplicaView& replicas) {
  json::Array hosts;
  for (const auto& id : replicas.host_ids) {
    if (hosts.size() == kReplicaHostsMax) break;
    hosts.emplace_back(id);
  }
  return {{"running", replicas.running}, {"max", replicas.max}, {"host_ids", std::move(hosts)}};
}

Result<budget::ReplicaView> read_replicas(const json::Object& object) {
  budget::ReplicaView replicas;
  ICON_TRY(replicas.running, json::get_int(object, "running", 0, kConnectionsMax));
  ICON_TRY(replicas.max, json::get_int(object, "max", 0, kConnectionsMax));
  ICON_TRY(const auto* hosts, json::get_array(object, "host_ids", kReplicaHostsMax));
  for (const auto& host : *hosts) {
    if (!host.is_string() || host.get_string().size() > kTextBytesMax)
      return fail(Code::kInvalid, "field 'host_ids' holds no id");
    replicas.host_ids.emplace_back(host.get_string());
  }
  return replicas;
}

Result<PrefixView> read_view(const json::Object& object) {
  PrefixView view;
  ICON_TRY(const auto prefix, json::get_string(object, "prefix", 64));
  ICON_TRY(view.prefix, Prefix::parse(prefix));
  ICON_TRY(view.connections, json::get_int(object, "connections", 0, kConnectionsMax));
  ICON_TRY(view.rtt_us, json::get_int(object, "rtt_us", 0, budget::kRttUsMax));
  ICON_TRY(view.samples, json::get_int(object, "samples", 0, kConnectionsMax));
  return view;
}

// Calls `read` with each object of an array. Errors: kInvalid, kLimit, and those of `read`.
template <class Read>
Status each(const json::Object& object, std::string_view key, std::size_t most, Read read) {
  ICON_TRY(const auto* array, json::get_array(object, key, most));
  for (const auto& value : *array) {
    const auto* entry = value.if_object();
    if (entry == nullptr)
      return fail(Code::kInvalid, "field '" + std::string(key) + "' holds something else");
    ICON_CHECK(read(*entry));
  }
  return {};
}

}  // namespace

json::Object observed_to_json(const ObservedRound& round) {
  const auto& input = round.input;
  const auto kept = kept_prefixes(input.prefixes);
  json::Array prefixes;
  for (const auto index : kept) {
    const auto& view = input.prefixes[index];
    prefixes.push_back(json::Object{{"prefix", view.prefix.to_string()},
                                    {"connections", view.connections},
                                    {"rtt_us", view.rtt_us},
                                    {"samples", view.samples}});
  }
  json::Array providers;
  for (const auto& candidate : input.candidates) {
    if (providers.size() == budget::kEvidenceCandidatesMax) break;
    providers.push_back(write_provider(candidate, kept));
  }
  return {{"version", kObservedVersion},
          {"at_ms", round.at_ms},
          {"here_name", input.here_name},
          {"here_id", input.here_id},
          {"here_price_ucredits", input.here_price_ucredits},
          {"here_slot_seconds", input.here_slot_seconds},
          {"budget_left_ucredits", input.budget_left_ucredits},
          {"broken_promise", input.broken_promise.substr(0, kTextBytesMax)},
          {"replicas", write_replicas(input.replicas)},
          {"held", input.held},
          {"history", input.history.to_json()},
          {"moves_to", round.moves_to},
          {"prefixes", std::move(prefixes)},
          {"providers", std::move(providers)}};
}

Result<ObservedRound> observed_round(const json::Object& object) {
  ICON_TRY(const auto version,
           json::get_int(object, "version", 0, std::numeric_limits<std::int32_t>::max()));
  if (version != kObservedVersion)
    return fail(Code::kInvalid,
                "a round of version " + std::to_string(version) + " is not known to this program");
  ObservedRound round;
  auto& input = round.input;
  ICON_TRY(round.at_ms, json::get_int(object, "at_ms", 1, kTimeMax));
  ICON_TRY(input.here_name, json::get_string(object, "here_name", kTextBytesMax));
  ICON_TRY(input.here_id, json::get_string(object, "here_id", kTextBytesMax));
  ICON_TRY(input.here_price_ucredits,
           json::get_int(object, "here_price_ucredits", 0, wire::kMicroCreditsMax));
  ICON_TRY(input.here_slot_seconds,
           json::get_int(object, "here_slot_seconds", 0, wire::kSlotSecondsMax));
  ICON_TRY(input.budget_left_ucredits,
           json::get_int(object, "budget_left_ucredits", 0, wire::kMicroCreditsMax));
  ICON_TRY(input.broken_promise, json::get_string(object, "broken_promise", kTextBytesMax));
  ICON_TRY(const auto* replicas, json::get_object(object, "replicas"));
  ICON_TRY(input.replicas, read_replicas(*replicas));
  ICON_TRY(input.held, json::get_bool(object, "held"));
  ICON_TRY(const auto* history, json::get_object(object, "history"));
  ICON_TRY(input.history, budget::DecisionHistory::from_json(*history));
  ICON_TRY(round.moves_to, json::get_string(object, "moves_to", kTextBytesMax));
  std::set<Prefix> known;
  ICON_CHECK(each(object, "prefixes", budget::kEvidencePrefixesMax,
                  [&](const json::Object& entry) -> Status {
                    ICON_TRY(auto view, read_view(entry));
                    if (!known.insert(view.prefix).second)
                      return fail(Code::kInvalid, "field 'prefixes' holds one twice");
                    input.prefixes.push_back(view);
                    return {};
                  }));
  ICON_CHECK(each(object, "providers", budget::kEvidenceCandidatesMax,
                  [&](const json::Object& entry) -> Status {
                    ICON_TRY(auto candidate, read_provider(entry, input.prefixes.size()));
                    input.candidates.push_back(std::move(candidate));
                    return {};
                  }));
  return round;
}

Result<std::vector<ObservedRound>> read_record(std::string_view text) {
  if (text.size() > kRecordBytesMax)
    return fail(Code::kLimit, "record: more than " + std::to_string(kRecordBytesMax) + " bytes");
  std::vector<ObservedRound> rounds;
  for (int line = 1; !text.empty(); ++line) {
    const auto wrong = [&](const std::string& what) {
      return fail(Code::kInvalid, "record: line " + std::to_string(line) + ": " + what);
    };
    const auto end = text.find('\n');
    if (end == std::string_view::npos) return wrong("it is torn: its end is missing");
    const auto object =
        json::parse_object(text.substr(0, end), kObservedLineBytesMax, json::kOwnDepthMax);
    if (!object) return wrong(object.error().message);
    auto round = observed_round(*object);
    if (!round) return wrong(round.error().message);
    if (!rounds.empty() && round->at_ms < rounds.back().at_ms)
      return wrong("it was seen before the line above it");
    if (rounds.size() == kRecordRoundsMax)
      return fail(Code::kLimit, "record: line " + std::to_string(line) + ": more than " +
                                    std::to_string(kRecordRoundsMax) + " rounds");
    rounds.push_back(std::move(*round));
    text.remove_prefix(end + 1);
  }
  if (rounds.empty()) return fail(Code::kInvalid, "record: no round in it");
  return rounds;
}

}  // namespace icon::agent
