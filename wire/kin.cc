#include "wire/kin.h"

#include <algorithm>
#include <array>

#include "wire/fields.h"

namespace icon::wire {
namespace {

constexpr std::int64_t kConnectionsMax = std::int64_t{1} << 40;
constexpr std::int64_t kRttUsMax = 600'000'000;
constexpr std::size_t kAddressCharacters = 64;

constexpr std::array<std::pair<KinReport::State, std::string_view>, 3> kStates{
    {{KinReport::State::kServing, "serving"},
     {KinReport::State::kDraining, "draining"},
     {KinReport::State::kEnded, "ended"}}};

Result<KinGroup> kin_group(const json::Object& object) {
  KinGroup group;
  ICON_TRY(const auto prefix, json::get_string(object, "prefix", kAddressCharacters));
  ICON_TRY(group.prefix, Prefix::parse(prefix));
  ICON_TRY(group.connections, json::get_int(object, "connections", 0, kConnectionsMax));
  ICON_TRY(group.rtt_us, json::get_int(object, "rtt_us", 0, kRttUsMax));
  return group;
}

json::Array groups_json(const std::vector<KinGroup>& groups) {
  json::Array array;
  for (const auto& group : groups) array.push_back(to_json(group));
  return array;
}

}  // namespace

std::string_view to_string(KinReport::State state) {
  for (const auto& [known, name] : kStates)
    if (known == state) return name;
  return "serving";
}

json::Object to_json(const KinPlace& place) {
  return {{"icon", place.icon.id()},
          {"host", place.host.id()},
          {"api", place.api.to_string()},
          {"public_address", place.public_address.to_string()}};
}

json::Object to_json(const KinGroup& group) {
  return {{"prefix", group.prefix.to_string()},
          {"connections", group.connections},
          {"rtt_us", group.rtt_us}};
}

Result<KinPlace> kin_place(const json::Object& object) {
  KinPlace place;
  ICON_TRY(place.icon, get_key(object, "icon"));
  ICON_TRY(place.host, get_key(object, "host"));
  ICON_TRY(const auto api, json::get_string(object, "api", kAddressCharacters));
  ICON_TRY(place.api, Endpoint::parse(api));
  ICON_TRY(const auto address, json::get_string(object, "public_address", kAddressCharacters));
  ICON_TRY(place.public_address, Address::parse(address));
  return place;
}

Result<std::vector<KinGroup>> kin_groups(const json::Object& object, std::string_view key) {
  ICON_TRY(const auto* array, json::get_array(object, key, kKinGroupsMax));
  std::vector<KinGroup> groups;
  for (const auto& value : *array) {
    if (!value.is_object()) return fail(Code::kInvalid, "kin: a group is no object");
    ICON_TRY(auto group, kin_group(value.get_object()));
    if (std::any_of(groups.begin(), groups.end(),
                    [&](const KinGroup& known) { return known.prefix == group.prefix; }))
      return fail(Code::kInvalid, "kin: a network stands twice in the list");
    groups.push_back(group);
  }
  return groups;
}

json::Object KinReport::to_json() const {
  return {{"child", wire::to_json(child)},  {"to", to.id()},
          {"state", to_string(state)},      {"connections", connections},
          {"left_ucredits", left_ucredits}, {"spent_ucredits", spent_ucredits},
          {"groups", groups_json(groups)},  {"issued_ms", issued_ms},
          {"expires_ms", expires_ms}};
}

Result<KinReport> KinReport::from_json(const json::Object& body) {
  KinReport report;
  ICON_TRY(const auto* child, json::get_object(body, "child"));
  ICON_TRY(report.child, kin_place(*child));
  ICON_TRY(report.to, get_key(body, "to"));
  if (report.to == report.child.icon) return fail(Code::kInvalid, "kin: nobody reports to himself");
  ICON_TRY(const auto state, json::get_string(body, "state", 16));
  const auto known = std::find_if(kStates.begin(), kStates.end(),
                                  [&](const auto& entry) { return entry.second == state; });
  if (known == kStates.end())
    return fail(Code::kInvalid, "kin: state is none of serving, draining, ended");
  report.state = known->first;
  ICON_TRY(report.connections, json::get_int(body, "connections", 0, kConnectionsMax));
  ICON_TRY(report.left_ucredits, get_money(body, "left_ucredits"));
  ICON_TRY(report.spent_ucredits, get_money(body, "spent_ucredits"));
  ICON_TRY(report.groups, kin_groups(body, "groups"));
  ICON_CHECK(read_times(body, report));
  return report;
}

json::Object KinWord::to_json() const {
  json::Array places;
  for (const auto& place : above) places.push_back(wire::to_json(place));
  return {{"parent", wire::to_json(parent)},
          {"child", child.id()},
          {"groups", groups_json(groups)},
          {"leads", leads},
          {"may_end", may_end},
          {"heard_ms", heard_ms},
          {"above", std::move(places)},
          {"issued_ms", issued_ms},
          {"expires_ms", expires_ms}};
}

Result<KinWord> KinWord::from_json(const json::Object& body) {
  KinWord word;
  ICON_TRY(const auto* parent, json::get_object(body, "parent"));
  ICON_TRY(word.parent, kin_place(*parent));
  ICON_TRY(word.child, get_key(body, "child"));
  if (word.child == word.parent.icon) return fail(Code::kInvalid, "kin: nobody is his own child");
  ICON_TRY(word.groups, kin_groups(body, "groups"));
  ICON_TRY(word.leads, json::get_bool(body, "leads"));
  ICON_TRY(word.may_end, json::get_bool(body, "may_end"));
  ICON_TRY(word.heard_ms, get_time(body, "heard_ms"));
  ICON_TRY(const auto* above, json::get_array(body, "above", kAncestorsMax));
  for (const auto& value : *above) {
    if (!value.is_object()) return fail(Code::kInvalid, "kin: an ancestor is no object");
    ICON_TRY(const auto place, kin_place(value.get_object()));
    word.above.push_back(place);
  }
  ICON_CHECK(read_times(body, word));
  return word;
}

}  // namespace icon::wire
