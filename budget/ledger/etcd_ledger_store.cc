#include "budget/ledger/etcd_ledger_store.h"

#include <fmt/format.h>

namespace icon::budget::ledger {
namespace {

constexpr std::size_t kAnswerBytesMax = 2 * kReadMax * kEntryBytesMax;
constexpr std::size_t kPrefixBytesMax = 256;
constexpr int kSequenceDigits = 20;  // so that keys sort as numbers do

struct KeyValue {
  std::string key;
  std::string value;
};

Result<std::vector<KeyValue>> pairs_of(const json::Object& answer) {
  std::vector<KeyValue> pairs;
  if (!answer.contains("kvs")) return pairs;
  ICON_TRY(const auto* kvs, json::get_array(answer, "kvs", kReadMax));
  for (const auto& value : *kvs) {
    const auto* object = value.if_object();
    if (object == nullptr) return fail(Code::kInvalid, "etcd: a pair is no object");
    ICON_TRY(const auto key, json::get_string(*object, "key", 2 * kPrefixBytesMax));
    ICON_TRY(const auto text, json::get_string(*object, "value", 2 * kEntryBytesMax));
    KeyValue pair;
    ICON_TRY(pair.key, etcd_decoded(key, kEntryBytesMax));
    ICON_TRY(pair.value, etcd_decoded(text, kEntryBytesMax));
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

json::Object created(const std::string& key, const char* result, int revision) {
  return {{"key", etcd_encoded(key)},
          {"target", "CREATE"},
          {"result", result},
          {"create_revision", std::to_string(revision)}};
}

}  // namespace

EtcdLedgerStore::EtcdLedgerStore(EtcdGateway gateway) : gateway_(std::move(gateway)) {}
EtcdLedgerStore::EtcdLedgerStore(EtcdLedgerStore&&) noexcept = default;
EtcdLedgerStore::~EtcdLedgerStore() = default;

Result<EtcdLedgerStore> EtcdLedgerStore::create(EtcdOptions options) {
  options.answer_bytes_max = kAnswerBytesMax;
  ICON_TRY(auto gateway, EtcdGateway::create(std::move(options)));
  return EtcdLedgerStore(std::move(gateway));
}

std::string EtcdLedgerStore::key_of(std::int64_t sequence) const {
  return fmt::format("{}{:0{}}", gateway_.options().prefix, sequence, kSequenceDigits);
}

Result<LedgerStore::Last> EtcdLedgerStore::last() {
  auto end = gateway_.options().prefix;
  ++end.back();
  ICON_TRY(const auto answer,
           gateway_.call("/v3/kv/range", {{"key", etcd_encoded(gateway_.options().prefix)},
                                          {"range_end", etcd_encoded(end)},
                                          {"limit", "1"},
                                          {"sort_order", "DESCEND"},
                                          {"sort_target", "KEY"}}));
  ICON_TRY(const auto pairs, pairs_of(answer));
  if (pairs.empty()) return Last{};
  ICON_TRY(const auto envelope, wire::parse_envelope(pairs[0].value));
  ICON_TRY(const auto sequence, json::get_int(envelope.body, "sequence", 1, std::int64_t{1} << 48));
  if (pairs[0].key != key_of(sequence))
    return fail(Code::kInvalid, "etcd: the last entry stands under another's key");
  return Last{sequence, pairs[0].value};
}

Status EtcdLedgerStore::append(std::int64_t sequence, const std::string& text) {
  const auto key = key_of(sequence);
  json::Array compare{created(key, "EQUAL", 0)};
  if (sequence > 1) compare.push_back(created(key_of(sequence - 1), "GREATER", 0));
  json::Array success{json::Object{
      {"request_put", json::Object{{"key", etcd_encoded(key)}, {"value", etcd_encoded(text)}}}}};
  json::Array failure{json::Object{{"request_range", json::Object{{"key", etcd_encoded(key)}}}}};
  ICON_TRY(const auto answer, gateway_.call("/v3/kv/txn", {{"compare", std::move(compare)},
                                                           {"success", std::move(success)},
                                                           {"failure", std::move(failure)}}));
  if (answer.contains("succeeded")) return {};  // false is left out
  ICON_TRY(const auto* responses, json::get_array(answer, "responses", 1));
  for (const auto& response : *responses) {
    const auto* object = response.if_object();
    if (object == nullptr) continue;
    ICON_TRY(const auto* range, json::get_object(*object, "response_range"));
    ICON_TRY(const auto pairs, pairs_of(*range));
    if (!pairs.empty() && pairs[0].value == text) return {};
  }
  return fail(Code::kConflict, "etcd: entry " + std::to_string(sequence) +
                                   " is taken, or the one before is missing");
}

Result<std::vector<std::string>> EtcdLedgerStore::read(std::int64_t first) {
  auto end = gateway_.options().prefix;
  ++end.back();
  ICON_TRY(const auto answer, gateway_.call("/v3/kv/range", {{"key", etcd_encoded(key_of(first))},
                                                             {"range_end", etcd_encoded(end)},
                                                             {"limit", std::to_string(kReadMax)}}));
  ICON_TRY(auto pairs, pairs_of(answer));
  std::vector<std::string> texts;
  for (auto& pair : pairs) {
    if (pair.key != key_of(first + static_cast<std::int64_t>(texts.size())))
      return fail(Code::kInvalid, "etcd: an entry is missing before " + pair.key);
    texts.push_back(std::move(pair.value));
  }
  return texts;
}

}  // namespace icon::budget::ledger
