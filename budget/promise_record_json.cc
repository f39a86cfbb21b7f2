// The record as JSON, for the agent's disk. What is read back was written by us, and is checked all
// the same: a disk may be damaged, and it travels through hosts of strangers.
#include <utility>

#include "budget/promise_record.h"

namespace icon::budget {
namespace {

constexpr std::int64_t kFigureMax = std::int64_t{1} << 60;
constexpr std::size_t kNameBytesMax = 256;

// The figures of a promise, in one place for both directions.
template <class PromiseRef, class Visit>
void visit_figures(PromiseRef& promise, Visit visit) {
  visit("since_ms", promise.since_ms);
  visit("price_ucredits", promise.price_ucredits);
  visit("paid_ucredits", promise.paid_ucredits);
  visit("cpu_millis", promise.cpu_millis);
  visit("bandwidth_bps", promise.bandwidth_bps);
  visit("before_us", promise.before_us);
  visit("promised_us", promise.promised_us);
  visit("delivered_us", promise.delivered_us);
  visit("cpu_wanted_us", promise.cpu_wanted_us);
  visit("cpu_got_us", promise.cpu_got_us);
  visit("bandwidth_seen_bps", promise.bandwidth_seen_bps);
  visit("up_ms", promise.up_ms);
  visit("down_ms", promise.down_ms);
}

json::Object promise_json(const Promise& promise) {
  json::Object object{{"provider_id", promise.provider_id},
                      {"provider_name", promise.provider_name},
                      {"state", to_string(promise.state)}};
  visit_figures(promise, [&](const char* key, std::int64_t value) { object[key] = value; });
  json::Array prefixes;
  for (const auto& prefix : promise.prefixes)
    prefixes.push_back(json::Object{{"prefix", prefix.prefix.to_string()},
                                    {"connections", prefix.connections},
                                    {"before_us", prefix.before_us},
                                    {"promised_us", prefix.promised_us},
                                    {"confidence", prefix.confidence}});
  object["prefixes"] = std::move(prefixes);
  return object;
}

Result<PromisedPrefix> read_promised(const json::Value& value) {
  const auto* object = value.if_object();
  if (object == nullptr) return fail(Code::kInvalid, "'prefixes': not a list of objects");
  PromisedPrefix prefix;
  ICON_TRY(const auto text, json::get_string(*object, "prefix", 64));
  ICON_TRY(prefix.prefix, Prefix::parse(text));
  ICON_TRY(prefix.connections, json::get_int(*object, "connections", 0, kRecordConnectionsMax));
  ICON_TRY(prefix.before_us, json::get_int(*object, "before_us", 0, kRttUsMax));
  ICON_TRY(prefix.promised_us, json::get_int(*object, "promised_us", 0, kRttUsMax));
  ICON_TRY(prefix.confidence, json::get_int(*object, "confidence", 0, kCertain));
  return prefix;
}

Result<Promise> read_promise(const json::Object& object) {
  Promise promise;
  ICON_TRY(promise.provider_id, json::get_string(object, "provider_id", kNameBytesMax));
  ICON_TRY(promise.provider_name, json::get_string(object, "provider_name", kNameBytesMax));
  ICON_TRY(const auto state, json::get_string(object, "state", 16));
  for (const auto known : {PromiseState::kOpen, PromiseState::kKept, PromiseState::kBroken})
    if (state == to_string(known)) promise.state = known;
  Status status;
  visit_figures(promise, [&](const char* key, std::int64_t& value) {
    const auto figure = json::get_int(object, key, 0, kFigureMax);
    if (figure)
      value = *figure;
    else
      status = fail(figure.error());
  });
  ICON_CHECK(status);
  ICON_TRY(const auto* prefixes, json::get_array(object, "prefixes", kRecordPrefixesMax));
  for (const auto& item : *prefixes) {
    ICON_TRY(const auto prefix, read_promised(item));
    promise.prefixes.push_back(prefix);
  }
  return promise;
}

json::Object record_json(const ProviderRecord& record) {
  json::Array delivered;
  for (const auto& [prefix, seen] : record.delivered)
    delivered.push_back(json::Object{
        {"prefix", prefix.to_string()}, {"rtt_us", seen.rtt_us}, {"at_ms", seen.at_ms}});
  return {{"id", record.id},
          {"name", record.name},
          {"last_ms", record.last_ms},
          {"stays", record.stays},
          {"kept", record.kept},
          {"broken", record.broken},
          {"weight", record.weight},
          {"score", record.score},
          {"newest", promise_json(record.newest)},
          {"delivered", std::move(delivered)}};
}

Result<ProviderRecord> read_record(const json::Value& value) {
  const auto* object = value.if_object();
  if (object == nullptr) return fail(Code::kInvalid, "'providers': not a list of objects");
  ProviderRecord record;
  ICON_TRY(record.id, json::get_string(*object, "id", kNameBytesMax));
  ICON_TRY(record.name, json::get_string(*object, "name", kNameBytesMax));
  ICON_TRY(record.last_ms, json::get_int(*object, "last_ms", 0, kFigureMax));
  ICON_TRY(record.stays, json::get_int(*object, "stays", 0, kRecordCountMax));
  ICON_TRY(record.kept, json::get_int(*object, "kept", 0, kRecordCountMax));
  ICON_TRY(record.broken, json::get_int(*object, "broken", 0, kRecordCountMax));
  ICON_TRY(record.weight, json::get_int(*object, "weight", 0, kRecordCountMax));
  ICON_TRY(record.score, json::get_int(*object, "score", 0, record.weight));
  ICON_TRY(const auto* newest, json::get_object(*object, "newest"));
  ICON_TRY(record.newest, read_promise(*newest));
  ICON_TRY(const auto* delivered, json::get_array(*object, "delivered", kRecordPrefixesMax));
  for (const auto& item : *delivered) {
    const auto* entry = item.if_object();
    if (entry == nullptr) return fail(Code::kInvalid, "'delivered': not a list of objects");
    ICON_TRY(const auto text, json::get_string(*entry, "prefix", 64));
    ICON_TRY(const auto prefix, Prefix::parse(text));
    DeliveredRtt seen;
    ICON_TRY(seen.rtt_us, json::get_int(*entry, "rtt_us", 1, kRttUsMax));
    ICON_TRY(seen.at_ms, json::get_int(*entry, "at_ms", 0, kFigureMax));
    record.delivered[prefix] = seen;
  }
  return record;
}

}  // namespace

json::Object PromiseRecord::to_json() const {
  json::Array providers;
  for (const auto& [id, record] : providers_) providers.push_back(record_json(record));
  json::Object object{{"version", kRecordVersion}, {"providers", std::move(providers)}};
  object["here"] = here_ ? json::Value(promise_json(*here_)) : json::Value(nullptr);
  return object;
}

Result<PromiseRecord> PromiseRecord::from_json(const json::Object& object) {
  ICON_TRY(const auto version, json::get_int(object, "version", 1, kRecordCountMax));
  if (version != kRecordVersion)
    return fail(Code::kInvalid, "a record of version " + std::to_string(version));
  PromiseRecord record;
  ICON_TRY(const auto* providers, json::get_array(object, "providers", kRecordProvidersMax));
  for (const auto& item : *providers) {
    ICON_TRY(auto one, read_record(item));
    const std::string id = one.id;
    record.providers_.emplace(id, std::move(one));
  }
  if (const auto* here = object.if_contains("here"); here != nullptr && here->is_object()) {
    ICON_TRY(record.here_, read_promise(here->get_object()));
  }
  return record;
}

}  // namespace icon::budget
