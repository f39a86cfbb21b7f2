#include "agent/promises.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <utility>

#include "base/file.h"
#include "base/log.h"

namespace icon::agent {
namespace {

constexpr Millis kSaveInterval{60'000};
// Reports come every 5 s; who misses three in a row did not run.
constexpr std::int64_t kTickMissedMs = 15'000;

std::string shown_ms(std::int64_t us) {
  return fmt::format("{}.{} ms", us / 1000, us % 1000 / 100);
}

std::string broken_promise(const budget::Promise& promise, UtcMillis now_ms) {
  return fmt::format(
      "{} promised its users {} instead of {} and gives them {} after {} s: back or on, "
      "wherever it is worth it",
      promise.provider_name, shown_ms(promise.promised_us), shown_ms(promise.before_us),
      shown_ms(promise.delivered_us), (now_ms - promise.since_ms) / 1000);
}

json::Object row(const budget::ProviderRecord& record, const budget::Promise& promise, bool here,
                 std::int64_t trust) {
  json::Object object{{"id", record.id},
                      {"name", record.name},
                      {"here", here},
                      {"trust", trust},
                      {"stays", record.stays},
                      {"kept", record.kept},
                      {"broken", record.broken},
                      {"state", budget::to_string(promise.state)},
                      {"price_promised_ucredits", promise.price_ucredits},
                      {"price_paid_ucredits", promise.paid_ucredits},
                      {"cpu_promised_millis", promise.cpu_millis},
                      {"cpu_wanted_us", promise.cpu_wanted_us},
                      {"cpu_got_us", promise.cpu_got_us},
                      {"bandwidth_promised_bps", promise.bandwidth_bps},
                      {"bandwidth_seen_bps", promise.bandwidth_seen_bps},
                      {"up_ms", promise.up_ms},
                      {"down_ms", promise.down_ms},
                      {"since_ms", promise.since_ms}};
  if (promise.delivered_us > 0) {
    object["rtt_before_us"] = promise.before_us;
    object["rtt_promised_us"] = promise.promised_us;
    object["rtt_delivered_us"] = promise.delivered_us;
  }
  return object;
}

}  // namespace

Promises::Promises(const Clock& clock, std::string path) : clock_(clock), path_(std::move(path)) {
  load();
}

void Promises::load() {
  const auto text = read_file(path_, budget::kRecordBytesMax);
  if (!text) {
    if (text.error().code != Code::kNotFound)
      log::warn("record.unreadable", {{"message", text.error().message}});
    return;
  }
  const auto object = json::parse_object(*text, budget::kRecordBytesMax);
  auto record = object ? budget::PromiseRecord::from_json(*object)
                       : Result<budget::PromiseRecord>(fail(object.error()));
  if (record)
    record_ = std::move(*record);
  else
    log::warn("record.unreadable", {{"message", record.error().message},
                                    {"consequence", "providers start with a clean record"}});
}

void Promises::save() {
  saved_ms_ = clock_.utc_ms();
  const auto status = write_file_atomic(path_, boost::json::serialize(record_.to_json()), 0600);
  if (!status) log::warn("record.save_failed", {{"message", status.error().message}});
}

void Promises::prepare(const KnownProvider& provider, const Observations& seen,
                       const Policy& policy, KnownProvider from) {
  budget::Promise promise;
  promise.provider_id = provider.view.names.id;
  promise.provider_name = provider.view.names.name;
  if (provider.view.offer) promise.price_ucredits = provider.view.offer->price_ucredits;
  promise.cpu_millis = policy.slot.cpu_millis;
  promise.bandwidth_bps = policy.slot.bandwidth_bps;
  const auto estimates = estimates_for(provider.view, seen, policy);
  for (std::size_t i = 0; i < seen.prefixes.size(); ++i) {
    if (promise.prefixes.size() >= budget::kRecordPrefixesMax) break;
    // What only is no worse than by way of here was promised by nobody.
    if (!estimates[i].rtt_us || estimates[i].basis == budget::EstimateBasis::kViaHere) continue;
    promise.prefixes.push_back({seen.prefixes[i].prefix, seen.prefixes[i].connections,
                                seen.prefixes[i].rtt_us, *estimates[i].rtt_us,
                                estimates[i].confidence});
  }
  prepared_ = std::move(promise);
  from.view.source = "previous";
  prepared_from_ = std::move(from);
}

void Promises::ended(bool moved, wire::MicroCredits paid) {
  auto promise = std::exchange(prepared_, std::nullopt);
  auto from = std::exchange(prepared_from_, std::nullopt);
  if (!moved) return;
  broken_.clear();
  record_.close(clock_.utc_ms());
  if (promise) {
    promise->since_ms = clock_.utc_ms();
    record_.open(std::move(*promise));
    record_.paid(paid);
    previous_ = std::move(from);
  }
  save();
}

void Promises::forget() {
  record_ = {};
  prepared_.reset();
  prepared_from_.reset();
  previous_.reset();
  broken_.clear();
  arrived();
}

void Promises::tick() {
  const UtcMillis now_ms = clock_.utc_ms();
  const auto passed = now_ms - std::exchange(ticked_, now_ms).value_or(now_ms);
  if (passed <= 0 || !record_.here()) return;
  const bool missed = passed > kTickMissedMs;
  record_.passed(missed ? 0 : passed, missed ? passed : 0, {});
}

void Promises::look(const HereView& here, const std::vector<budget::PrefixView>& prefixes,
                    const Policy& policy) {
  const UtcMillis now_ms = clock_.utc_ms();
  for (std::size_t i = 0; i < std::min(prefixes.size(), budget::kRecordPrefixesMax); ++i)
    record_.saw(here.id, here.name, prefixes[i].prefix, prefixes[i].rtt_us, now_ms);
  if (const auto& promise = record_.here())
    record_.passed(0, 0, meter_.since_last(read_host_sums(), promise->cpu_millis, clock_.steady()));
  const auto verdict = record_.judge({policy.promise_window_ms, policy.promise_keep}, now_ms);
  if (verdict) say(*verdict);
  if (verdict || now_ms - saved_ms_ >= kSaveInterval.count()) save();
}

void Promises::say(budget::PromiseState state) {
  const auto& promise = *record_.here();
  const bool kept = state == budget::PromiseState::kKept;
  if (!kept) broken_ = broken_promise(promise, clock_.utc_ms());
  log::write(kept ? log::Level::kInfo : log::Level::kWarn, kept ? "promise.kept" : "promise.broken",
             {{"provider", promise.provider_name},
              {"before_rtt_us", promise.before_us},
              {"promised_rtt_us", promise.promised_us},
              {"delivered_rtt_us", promise.delivered_us},
              {"trust", record_.trust(promise.provider_id, clock_.utc_ms())},
              {"message", broken_}});
}

void Promises::apply(std::vector<ProviderView>& providers) const {
  const UtcMillis now_ms = clock_.utc_ms();
  for (auto& provider : providers) {
    provider.trust = record_.trust(provider.names.id, now_ms);
    const auto* delivered = record_.delivered(provider.names.id);
    if (delivered == nullptr) continue;
    for (const auto& [prefix, seen] : *delivered)
      provider.delivered[prefix] = {seen.rtt_us, std::max<std::int64_t>(0, now_ms - seen.at_ms)};
  }
}

json::Array Promises::status_json() const {
  json::Array rows;
  for (const auto& [id, record] : record_.providers()) {
    const auto& here = record_.here();
    const bool is_here = here && here->provider_id == id;
    if (!is_here && record.stays == 0) continue;  // only seen from, never bought from
    rows.push_back(
        row(record, is_here ? *here : record.newest, is_here, record_.trust(id, clock_.utc_ms())));
  }
  return rows;
}

}  // namespace icon::agent
