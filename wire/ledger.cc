#include "wire/ledger.h"

#include <algorithm>
#include <array>
#include <utility>

#include "wire/fields.h"

namespace icon::wire {
namespace {

using Activity = LifeEvent::Activity;

constexpr std::array<std::pair<Activity, std::string_view>, 7> kActivities{{
    {Activity::kHostJoin, "host_join"},
    {Activity::kIconJoin, "icon_join"},
    {Activity::kCheckpoint, "checkpoint"},
    {Activity::kMove, "move"},
    {Activity::kReplica, "replica"},
    {Activity::kEnd, "end"},
    {Activity::kContinue, "continue"},
}};
constexpr std::int64_t kEntrySequenceMax = std::int64_t{1} << 48;
constexpr std::size_t kEntityBytesMax = 200;

bool is_entity(std::string_view text) {
  return !text.empty() && text.size() <= kEntityBytesMax &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

Result<std::vector<std::string>> get_entities(const json::Object& object, std::string_view key) {
  ICON_TRY(const auto* array, json::get_array(object, key, kLifeEntitiesMax));
  std::vector<std::string> entities;
  for (const auto& value : *array) {
    if (!value.is_string() || !is_entity(std::string_view(value.get_string())))
      return fail(Code::kInvalid, "field '" + std::string(key) + "' holds no entity's name");
    entities.emplace_back(value.get_string());
  }
  return entities;
}

json::Array array_of(const std::vector<std::string>& texts) {
  json::Array array;
  for (const auto& text : texts) array.push_back(json::Value(text));
  return array;
}

Result<std::vector<LifeEvent::Made>> get_made(const json::Object& body) {
  ICON_TRY(const auto* array, json::get_array(body, "made", kLifeEntitiesMax));
  std::vector<LifeEvent::Made> made;
  for (const auto& value : *array) {
    const auto* object = value.if_object();
    if (object == nullptr) return fail(Code::kInvalid, "field 'made' holds no object");
    LifeEvent::Made each;
    ICON_TRY(each.entity, json::get_string(*object, "entity", kEntityBytesMax));
    if (!is_entity(each.entity)) return fail(Code::kInvalid, "field 'entity' is no name");
    ICON_TRY(each.from, get_entities(*object, "from"));
    made.push_back(std::move(each));
  }
  return made;
}

}  // namespace

std::string_view to_string(Activity activity) {
  for (const auto& [value, name] : kActivities)
    if (value == activity) return name;
  return "unknown";
}

json::Object LedgerEntry::to_json() const {
  return {{"ledger", ledger},      {"sequence", sequence},       {"previous", previous},
          {"writer", writer.id()}, {"recorded_ms", recorded_ms}, {"document", document.to_json()}};
}

Result<LedgerEntry> LedgerEntry::from_json(const json::Object& body) {
  LedgerEntry entry;
  ICON_TRY(entry.ledger, get_token(body, "ledger"));
  ICON_TRY(entry.sequence, json::get_int(body, "sequence", 1, kEntrySequenceMax));
  ICON_TRY(entry.previous, get_digest(body, "previous"));
  ICON_TRY(entry.writer, get_key(body, "writer"));
  ICON_TRY(entry.recorded_ms, get_time(body, "recorded_ms"));
  ICON_TRY(const auto* document, json::get_object(body, "document"));
  ICON_TRY(entry.document, parse_envelope(json::Value(*document)));
  return entry;
}

json::Object LifeEvent::to_json() const {
  json::Array products;
  for (const auto& each : made)
    products.push_back(json::Object{{"entity", each.entity}, {"from", array_of(each.from)}});
  return {{"activity", to_string(activity)},
          {"id", id},
          {"actor", actor.id()},
          {"icon", icon.id()},
          {"used", array_of(used)},
          {"made", std::move(products)},
          {"ended", array_of(ended)},
          {"started_ms", started_ms},
          {"finished_ms", finished_ms}};
}

Result<LifeEvent> LifeEvent::from_json(const json::Object& body) {
  LifeEvent event;
  ICON_TRY(const auto name, json::get_string(body, "activity", 32));
  const auto known = std::find_if(kActivities.begin(), kActivities.end(),
                                  [&](const auto& each) { return each.second == name; });
  if (known == kActivities.end())
    return fail(Code::kInvalid, "field 'activity' names none that is known");
  event.activity = known->first;
  ICON_TRY(event.id, get_token(body, "id"));
  ICON_TRY(event.actor, get_key(body, "actor"));
  ICON_TRY(event.icon, get_key(body, "icon"));
  ICON_TRY(event.used, get_entities(body, "used"));
  ICON_TRY(event.made, get_made(body));
  ICON_TRY(event.ended, get_entities(body, "ended"));
  ICON_TRY(event.started_ms, get_time(body, "started_ms"));
  ICON_TRY(event.finished_ms, get_time(body, "finished_ms"));
  if (event.finished_ms < event.started_ms)
    return fail(Code::kInvalid, "life event: it ends before it begins");
  for (const auto& each : event.made)
    for (const auto& from : each.from)
      if (std::find(event.used.begin(), event.used.end(), from) == event.used.end())
        return fail(Code::kInvalid, "life event: made of what it does not use");
  return event;
}

}  // namespace icon::wire
