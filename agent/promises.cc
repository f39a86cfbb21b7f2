#include "agent/promises.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <utility>

#include "base/file.h"
#include "base/log.h"

namespace icon::agent {
namespace {

constexpr Millis kSaveInterval{60'000};
constexpr std::size_t kPlaceNameBytesMax = 255;
constexpr std::size_t kFileBytesMax = budget::kRecordBytesMax + (64 << 10);
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

// Beside the record in its file: where we came from, or are about to leave.
json::Value place_json(const std::optional<KnownProvider>& place) {
  if (!place || place->view.names.id.empty()) return nullptr;
  const auto& view = place->view;
  return json::Object{
      {"name", view.names.name}, {"id", view.names.id}, {"api", view.api.to_string()}};
}

Result<std::optional<KnownProvider>> read_place(const json::Object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value == nullptr || value->is_null()) return std::optional<KnownProvider>{};
  ICON_TRY(const auto* fields, json::get_object(object, key));
  KnownProvider place;
  ICON_TRY(place.view.names.name, json::get_string(*fields, "name", kPlaceNameBytesMax));
  ICON_TRY(const auto id, json::get_string(*fields, "id", kPlaceNameBytesMax));
  ICON_TRY(const auto provider, PublicKey::from_id(id));
  place.view.names.id = provider.id();
  ICON_TRY(const auto api, json::get_string(*fields, "api", kPlaceNameBytesMax));
  ICON_TRY(place.view.api, Endpoint::parse(api));
  place.view.source = "previous";
  return std::optional<KnownProvider>(std::move(place));
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
  const auto text = read_file(path_, kFileBytesMax);
  if (!text) {
    if (text.error().code != Code::kNotFound)
      log::warn("record.unreadable", {{"message", text.error().message}});
    return;
  }
  const auto object = json::parse_object(*text, kFileBytesMax, json::kOwnDepthMax);
  auto record = object ? budget::PromiseRecord::from_json(*object)
                       : Result<budget::PromiseRecord>(fail(object.error()));
  if (!record) {
    log::warn("record.unreadable", {{"message", record.error().message},
                                    {"consequence", "providers start with a clean record"}});
    return;
  }
  record_ = std::move(*record);
  read_places(*object);
  if (const auto& here = record_.here(); here && here->state == budget::PromiseState::kBroken)
    broken_ = broken_promise(*here, clock_.utc_ms());
}

// What lies beside the record; a file of before has none of it.
void Promises::read_places(const json::Object& object) {
  auto previous = read_place(object, "previous");
  auto from = read_place(object, "leaving");
  if (!previous || !from) {
    log::warn("record.place_unreadable",
              {{"message", (previous ? from.error() : previous.error()).message}});
    return;
  }
  previous_ = std::move(*previous);
  const auto* ordered = object.if_contains("ordered");
  if (ordered == nullptr || !ordered->is_object()) return;
  // A promise is read as that of a record which has no other.
  const auto record = budget::PromiseRecord::from_json(ordered->get_object());
  if (!record || !record->here()) return;
  prepared_ = record->here();
  prepared_from_ = std::move(*from);
}

void Promises::save() {
  saved_ms_ = clock_.utc_ms();
  json::Object object = record_.to_json();
  object["previous"] = place_json(previous_);
  object["leaving"] = place_json(prepared_from_);
  if (prepared_) {
    budget::PromiseRecord ordered;
    ordered.open(*prepared_);
    object["ordered"] = ordered.to_json();
  }
  const auto status = write_file_atomic(path_, boost::json::serialize(object), 0600);
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
  save();
}

void Promises::woke_at(const std::string& provider_id) {
  if (prepared_ && prepared_->provider_id == provider_id) {
    ended(true, prepared_->price_ucredits);
    return;
  }
  const bool elsewhere = record_.here() && record_.here()->provider_id != provider_id;
  if (!prepared_ && !elsewhere) return;
  prepared_.reset();
  prepared_from_.reset();
  if (elsewhere) {
    record_.close(clock_.utc_ms());
    previous_.reset();
    broken_.clear();
  }
  save();
}

void Promises::ended(bool moved, wire::MicroCredits paid) {
  auto promise = std::exchange(prepared_, std::nullopt);
  auto from = std::exchange(prepared_from_, std::nullopt);
  if (!moved) {
    if (promise) save();
    return;
  }
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
  unlink(path_.c_str());  // else the next process would take it for its own
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
