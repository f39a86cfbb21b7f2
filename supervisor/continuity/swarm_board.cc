#include "supervisor/continuity/swarm_board.h"

#include <boost/json/serialize.hpp>
#include <cstdlib>

namespace icon::supervisor {
namespace {

using budget::ledger::etcd_decoded;
using budget::ledger::etcd_encoded;

constexpr std::size_t kKeysMax = 4096;
constexpr std::size_t kKeyBytesMax = 1024;
constexpr std::size_t kNumberBytesMax = 32;
constexpr std::size_t kAnswerBytesMax = 8 << 20;

// etcd writes 64-bit numbers as texts and leaves zeros out.
Result<std::int64_t> number(const json::Object& object, std::string_view key) {
  ICON_TRY(const auto text, json::get_string_or(object, key, "0", kNumberBytesMax));
  return std::strtoll(text.c_str(), nullptr, 10);
}

struct Pair {
  std::string key;
  std::string value;
  std::string lease;
  std::int64_t created = 0;
  std::int64_t modified = 0;
};

Result<std::vector<Pair>> pairs_of(const json::Value& response) {
  std::vector<Pair> pairs;
  const auto* outer = response.if_object();
  if (outer == nullptr) return fail(Code::kInvalid, "etcd: a response is no object");
  ICON_TRY(const auto* range, json::get_object(*outer, "response_range"));
  if (!range->contains("kvs")) return pairs;
  ICON_TRY(const auto* kvs, json::get_array(*range, "kvs", kKeysMax));
  for (const auto& value : *kvs) {
    const auto* object = value.if_object();
    if (object == nullptr) return fail(Code::kInvalid, "etcd: a pair is no object");
    // What one writer made too large is nothing to all the others.
    const auto key = json::get_string(*object, "key", 2 * kKeyBytesMax);
    const auto text = json::get_string_or(*object, "value", "", 2 * SwarmBoard::kTextBytesMax);
    if (!key || !text) continue;
    auto name = etcd_decoded(*key, kKeyBytesMax);
    auto content = etcd_decoded(*text, SwarmBoard::kTextBytesMax);
    if (!name || !content) continue;
    Pair pair;
    pair.key = std::move(*name);
    pair.value = std::move(*content);
    ICON_TRY(pair.lease, json::get_string_or(*object, "lease", "", kNumberBytesMax));
    ICON_TRY(pair.created, number(*object, "create_revision"));
    ICON_TRY(pair.modified, number(*object, "mod_revision"));
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

json::Object range_of(const std::string& prefix) {
  auto end = prefix;
  ++end.back();
  return {{"request_range",
           json::Object{{"key", etcd_encoded(prefix)}, {"range_end", etcd_encoded(end)}}}};
}

}  // namespace

std::map<std::string, SwarmDecision> SwarmView::standing() const {
  std::map<std::string, SwarmDecision> standing;
  for (const auto& [icon, decision] : decisions) {
    const auto object = json::parse_object(decision.text, SwarmBoard::kTextBytesMax);
    const auto read =
        object ? SwarmDecision::from_json(*object) : Result<SwarmDecision>(fail(object.error()));
    if (read && read->icon == icon) standing[icon] = *read;
  }
  return standing;
}

Result<SwarmBoard> SwarmBoard::create(budget::ledger::EtcdOptions options, std::string host_id) {
  options.answer_bytes_max = kAnswerBytesMax;
  ICON_TRY(auto etcd, budget::ledger::EtcdGateway::create(std::move(options)));
  return SwarmBoard(std::move(etcd), std::move(host_id));
}

Status SwarmBoard::keep_lease() {
  if (!lease_.empty()) {
    ICON_TRY(const auto answer, etcd_.call("/v3/lease/keepalive", {{"ID", lease_}}));
    ICON_TRY(const auto* result, json::get_object(answer, "result"));
    ICON_TRY(const auto left, number(*result, "TTL"));
    if (left > 0) return {};
    lease_.clear();  // too late: others take this host for dead
  }
  ICON_TRY(const auto answer,
           etcd_.call("/v3/lease/grant", {{"TTL", std::to_string(kLeaseSeconds)}, {"ID", "0"}}));
  ICON_TRY(lease_, json::get_string(answer, "ID", kNumberBytesMax));
  return {};
}

Result<SwarmView> SwarmBoard::meet(const std::string& report) {
  ICON_CHECK(keep_lease());
  const auto leader = key("orchestrator");
  const auto put = [&](const std::string& name, const std::string& value) {
    return json::Object{{"request_put", json::Object{{"key", etcd_encoded(name)},
                                                     {"value", etcd_encoded(value)},
                                                     {"lease", lease_}}}};
  };
  json::Array failure{put(key("hosts/" + host_id_), report),
                      json::Object{{"request_range", json::Object{{"key", etcd_encoded(leader)}}}},
                      range_of(key("hosts/")), range_of(key("decisions/"))};
  json::Array success = failure;
  success.insert(success.begin(), put(leader, host_id_));
  const json::Object request{{"compare", json::Array{json::Object{{"key", etcd_encoded(leader)},
                                                                  {"target", "CREATE"},
                                                                  {"result", "EQUAL"},
                                                                  {"create_revision", "0"}}}},
                             {"success", std::move(success)},
                             {"failure", std::move(failure)}};
  const auto answer = etcd_.call("/v3/kv/txn", request);
  if (!answer) {
    lease_.clear();  // it may be over, or unknown where we ask next
    return fail(answer.error());
  }
  ICON_TRY(const auto* responses, json::get_array(*answer, "responses", 8));
  if (responses->size() < 4) return fail(Code::kInvalid, "etcd: responses are missing");
  const std::size_t last = responses->size() - 1;
  SwarmView view;
  ICON_TRY(const auto leaders, pairs_of((*responses)[last - 2]));
  ICON_TRY(const auto reports, pairs_of((*responses)[last - 1]));
  ICON_TRY(const auto decisions, pairs_of((*responses)[last]));
  if (!leaders.empty()) {
    view.orchestrator = leaders.front().value;
    view.term = leaders.front().created;
    // One that an earlier life of this host had won ends with that life's lease.
    view.is_here = view.orchestrator == host_id_ && leaders.front().lease == lease_;
  }
  for (const auto& one : reports) view.reports.push_back(one.value);
  const auto prefix = key("decisions/");
  for (const auto& one : decisions)
    view.decisions[one.key.substr(prefix.size())] = {one.value, one.modified};
  return view;
}

Status SwarmBoard::decide(const std::string& icon, const std::string& text, const SwarmView& seen) {
  const auto name = key("decisions/" + icon);
  const auto old = seen.decisions.find(icon);
  const auto revision = old == seen.decisions.end() ? 0 : old->second.revision;
  const json::Object request{
      {"compare", json::Array{json::Object{{"key", etcd_encoded(key("orchestrator"))},
                                           {"target", "CREATE"},
                                           {"result", "EQUAL"},
                                           {"create_revision", std::to_string(seen.term)}},
                              json::Object{{"key", etcd_encoded(name)},
                                           {"target", "MOD"},
                                           {"result", "EQUAL"},
                                           {"mod_revision", std::to_string(revision)}}}},
      {"success",
       json::Array{json::Object{{"request_put", json::Object{{"key", etcd_encoded(name)},
                                                             {"value", etcd_encoded(text)},
                                                             {"lease", lease_}}}}}},
      {"failure", json::Array{}}};
  ICON_TRY(const auto answer, etcd_.call("/v3/kv/txn", request));
  if (answer.contains("succeeded")) return {};  // false is left out
  return fail(Code::kConflict, "another host is the orchestrator, or has decided since");
}

SwarmBoard::Written SwarmBoard::decide_all(const std::vector<SwarmDecision>& decisions,
                                           const SwarmView& seen, const Clock& clock) {
  Written written;
  const auto end = clock.steady() + kDecideFor;
  for (auto decision : decisions) {
    if (clock.steady() >= end) break;
    decision.term = seen.term;
    written.ended = decide(decision.icon, boost::json::serialize(decision.to_json()), seen);
    if (!written.ended) break;
    ++written.count;
  }
  return written;
}

}  // namespace icon::supervisor
