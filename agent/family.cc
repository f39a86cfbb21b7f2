#include "agent/family.h"

#include <algorithm>
#include <array>
#include <limits>

namespace icon::agent {
namespace {

constexpr std::int64_t kVersion = 1;
constexpr std::int64_t kNumberMax = std::numeric_limits<std::int64_t>::max() / 2;
constexpr std::size_t kNameBytesMax = 256;

constexpr std::array<std::pair<Child::State, std::string_view>, 4> kStates{
    {{Child::State::kOrdered, "ordered"},
     {Child::State::kServing, "serving"},
     {Child::State::kDraining, "draining"},
     {Child::State::kEnded, "ended"}}};

template <class Item>
json::Array array_of(const std::vector<Item>& items) {
  json::Array array;
  for (const auto& item : items) array.push_back(wire::to_json(item));
  return array;
}

json::Object write(const Child& child) {
  return {{"place", wire::to_json(child.place)},
          {"state", to_string(child.state)},
          {"ordered_at", child.ordered_at.id()},
          {"migration", child.migration},
          {"provider_name", child.provider_name},
          {"price_ucredits", child.price_ucredits},
          {"birth", child.birth.to_json()},
          {"share", child.share ? json::Value(child.share->to_json()) : json::Value(nullptr)},
          {"share_ucredits", child.share_ucredits},
          {"groups", array_of(child.groups)},
          {"may_end", child.may_end},
          {"ordered_ms", child.ordered_ms},
          {"born_ms", child.born_ms},
          {"heard_ms", child.heard_ms},
          {"reported_ms", child.reported_ms},
          {"connections", child.connections},
          {"left_ucredits", child.left_ucredits},
          {"spent_ucredits", child.spent_ucredits}};
}

Result<std::int64_t> number(const json::Object& object, std::string_view key) {
  return json::get_int(object, key, 0, kNumberMax);
}

Result<Child> read_child(const json::Object& object) {
  Child child;
  ICON_TRY(const auto* place, json::get_object(object, "place"));
  ICON_TRY(child.place, wire::kin_place(*place));
  ICON_TRY(const auto state, json::get_string(object, "state", 16));
  const auto known = std::find_if(kStates.begin(), kStates.end(),
                                  [&](const auto& entry) { return entry.second == state; });
  if (known == kStates.end()) return fail(Code::kInvalid, "family: a child in no known state");
  child.state = known->first;
  ICON_TRY(const auto host, json::get_string(object, "ordered_at", 64));
  ICON_TRY(child.ordered_at, PublicKey::from_id(host));
  ICON_TRY(child.migration, json::get_string(object, "migration", kNameBytesMax));
  ICON_TRY(child.provider_name, json::get_string(object, "provider_name", kNameBytesMax));
  ICON_TRY(child.price_ucredits, number(object, "price_ucredits"));
  ICON_TRY(const auto* birth, json::get_object(object, "birth"));
  ICON_TRY(child.birth, wire::parse_envelope(json::Value(*birth)));
  if (const auto* share = object.if_contains("share"); share != nullptr && !share->is_null()) {
    ICON_TRY(child.share, wire::parse_envelope(*share));
  }
  ICON_TRY(child.share_ucredits, number(object, "share_ucredits"));
  ICON_TRY(child.groups, wire::kin_groups(object, "groups"));
  ICON_TRY(child.may_end, json::get_bool(object, "may_end"));
  ICON_TRY(child.ordered_ms, number(object, "ordered_ms"));
  ICON_TRY(child.born_ms, number(object, "born_ms"));
  ICON_TRY(child.heard_ms, number(object, "heard_ms"));
  ICON_TRY(child.reported_ms, number(object, "reported_ms"));
  ICON_TRY(child.connections, number(object, "connections"));
  ICON_TRY(child.left_ucredits, number(object, "left_ucredits"));
  ICON_TRY(child.spent_ucredits, number(object, "spent_ucredits"));
  return child;
}

json::Object write(const Elders& elders) {
  return {{"above", array_of(elders.above)},
          {"groups", array_of(elders.groups)},
          {"leads", elders.leads},
          {"may_end", elders.may_end},
          {"heard_ms", elders.heard_ms},
          {"serves_ms", elders.serves_ms},
          {"issued_ms", elders.issued_ms},
          {"acknowledged_ms", elders.acknowledged_ms},
          {"share", elders.share ? json::Value(elders.share->to_json()) : json::Value(nullptr)}};
}

Result<Elders> read_elders(const json::Object& object) {
  Elders elders;
  ICON_TRY(const auto* above, json::get_array(object, "above", wire::kAncestorsMax + 1));
  for (const auto& value : *above) {
    if (!value.is_object()) return fail(Code::kInvalid, "family: an ancestor is no object");
    ICON_TRY(const auto place, wire::kin_place(value.get_object()));
    elders.above.push_back(place);
  }
  ICON_TRY(elders.groups, wire::kin_groups(object, "groups"));
  ICON_TRY(elders.leads, json::get_bool(object, "leads"));
  ICON_TRY(elders.may_end, json::get_bool(object, "may_end"));
  ICON_TRY(elders.heard_ms, number(object, "heard_ms"));
  ICON_TRY(elders.serves_ms, number(object, "serves_ms"));
  ICON_TRY(elders.issued_ms, number(object, "issued_ms"));
  ICON_TRY(elders.acknowledged_ms, number(object, "acknowledged_ms"));
  if (const auto* share = object.if_contains("share"); share != nullptr && !share->is_null()) {
    ICON_TRY(elders.share, wire::parse_envelope(*share));
  }
  return elders;
}

Child::State state_of(wire::KinReport::State state) {
  switch (state) {
    case wire::KinReport::State::kDraining:
      return Child::State::kDraining;
    case wire::KinReport::State::kEnded:
      return Child::State::kEnded;
    case wire::KinReport::State::kServing:
      break;
  }
  return Child::State::kServing;
}

// When something was last known of it.
UtcMillis known_ms(const Child& child) {
  return std::max({child.ordered_ms, child.born_ms, child.heard_ms});
}

}  // namespace

std::string_view to_string(Child::State state) {
  for (const auto& [known, name] : kStates)
    if (known == state) return name;
  return "ordered";
}

Child* Family::find(const PublicKey& icon) {
  const auto found = std::find_if(children_.begin(), children_.end(),
                                  [&](const Child& child) { return child.place.icon == icon; });
  return found == children_.end() ? nullptr : &*found;
}

Child* Family::by_migration(const std::string& migration) {
  const auto found = std::find_if(children_.begin(), children_.end(),
                                  [&](const Child& child) { return child.migration == migration; });
  return found == children_.end() ? nullptr : &*found;
}

bool Family::make_room(UtcMillis now_ms) {
  auto goes = std::find_if(children_.begin(), children_.end(),
                           [](const Child& known) { return known.state == Child::State::kEnded; });
  if (goes == children_.end()) {
    goes = std::min_element(
        children_.begin(), children_.end(),
        [](const Child& one, const Child& other) { return known_ms(one) < known_ms(other); });
    if (goes == children_.end() || !is_lost(*goes, now_ms)) return false;
  }
  children_.erase(goes);
  return true;
}

Status Family::ordered(Child child, UtcMillis now_ms) {
  if (children_.size() >= kChildrenMax && !make_room(now_ms))
    return fail(Code::kLimit, "this ICON has children enough");
  children_.push_back(std::move(child));
  return {};
}

void Family::drop(const std::string& migration) {
  std::erase_if(children_, [&](const Child& child) { return child.migration == migration; });
}

Status Family::heard(const wire::KinReport& report, UtcMillis now_ms) {
  Child* child = find(report.child.icon);
  if (child == nullptr) return fail(Code::kNotFound, "a report of nobody's child");
  if (report.issued_ms <= child->reported_ms)
    return fail(Code::kExpired, "a report that is older than what is known");
  child->reported_ms = report.issued_ms;
  child->heard_ms = now_ms;
  child->place = report.child;
  // Who has ended or drains does not come back.
  child->state = std::max(child->state, state_of(report.state));
  child->connections = report.connections;
  child->left_ucredits = report.left_ucredits;
  child->spent_ucredits = report.spent_ucredits;
  return {};
}

Status Family::heard(const wire::KinWord& word, UtcMillis now_ms) {
  const auto known = std::find_if(elders_.above.begin(), elders_.above.end(),
                                  [&](const auto& it) { return it.icon == word.parent.icon; });
  if (known == elders_.above.end())
    return fail(Code::kRefused, "a word of somebody who is not above us");
  if (word.issued_ms <= elders_.issued_ms)
    return fail(Code::kExpired, "a word that is older than what is known");
  // Who speaks to us is who has us: those between were silent.
  elders_.above.erase(elders_.above.begin(), known);
  elders_.above.front() = word.parent;
  // Of his own ancestors, only their places can be news: who they are our birth says.
  for (auto& place : elders_.above)
    for (const auto& told : word.above)
      if (told.icon == place.icon) place = told;
  elders_.groups = word.groups;
  if (word.leads && !elders_.leads) elders_.serves_ms = now_ms;
  elders_.leads = word.leads;
  elders_.may_end = word.may_end;
  elders_.heard_ms = now_ms;
  elders_.issued_ms = word.issued_ms;
  elders_.acknowledged_ms = std::max(elders_.acknowledged_ms, word.heard_ms);
  return {};
}

bool Family::look_higher(UtcMillis now_ms) {
  if (elders_.above.size() <= 1) return false;
  elders_.above.erase(elders_.above.begin());
  elders_.heard_ms = now_ms;  // he gets the same time to answer
  elders_.issued_ms = 0;
  return true;
}

bool Family::serves(const Child& child, UtcMillis now_ms) const {
  return child.state == Child::State::kServing && child.heard_ms > 0 &&
         now_ms - child.heard_ms < kKinSilentMax.count();
}

bool Family::is_lost(const Child& child, UtcMillis now_ms) const {
  return child.state != Child::State::kEnded && now_ms - known_ms(child) >= kKinLostMax.count();
}

bool Family::leads_to(const Child& child, UtcMillis now_ms) const {
  return child.may_end && serves(child, now_ms);
}

bool Family::is_served_elsewhere(const Prefix& prefix, UtcMillis now_ms) const {
  return std::any_of(children_.begin(), children_.end(), [&](const Child& child) {
    return leads_to(child, now_ms) &&
           std::any_of(child.groups.begin(), child.groups.end(),
                       [&](const wire::KinGroup& group) { return group.prefix == prefix; });
  });
}

budget::ReplicaView Family::replicas(std::int64_t max, UtcMillis now_ms) const {
  budget::ReplicaView view;
  view.max = max;
  for (const auto& child : children_) {
    if (child.state == Child::State::kEnded || is_lost(child, now_ms)) continue;
    ++view.running;
    view.host_ids.push_back(child.place.host.id());
  }
  return view;
}

json::Object Family::to_json() const {
  json::Array children;
  for (const auto& child : children_) children.push_back(write(child));
  return {{"version", kVersion}, {"children", std::move(children)}, {"elders", write(elders_)}};
}

Result<Family> Family::from_json(const json::Object& object) {
  ICON_TRY(const auto version, number(object, "version"));
  if (version != kVersion)
    return fail(Code::kInvalid, "a family file of version " + std::to_string(version));
  Family family;
  ICON_TRY(const auto* children, json::get_array(object, "children", kChildrenMax));
  for (const auto& value : *children) {
    if (!value.is_object()) return fail(Code::kInvalid, "family: a child is no object");
    ICON_TRY(auto child, read_child(value.get_object()));
    family.children_.push_back(std::move(child));
  }
  ICON_TRY(const auto* elders, json::get_object(object, "elders"));
  ICON_TRY(family.elders_, read_elders(*elders));
  return family;
}

json::Object Family::status(UtcMillis now_ms) const {
  json::Array children;
  for (const auto& child : children_) {
    json::Array networks;
    for (const auto& group : child.groups) networks.emplace_back(group.prefix.to_string());
    children.push_back(
        json::Object{{"icon", child.place.icon.id()},
                     {"provider", child.provider_name},
                     {"state", is_lost(child, now_ms) ? "lost" : to_string(child.state)},
                     {"public_address", child.place.public_address.to_string()},
                     {"networks", std::move(networks)},
                     {"connections", child.connections},
                     {"share_ucredits", child.share_ucredits},
                     {"left_ucredits", child.left_ucredits},
                     {"spent_ucredits", child.spent_ucredits},
                     {"born_ms", child.born_ms},
                     {"heard_ms", child.heard_ms}});
  }
  json::Object status{{"children", std::move(children)}};
  if (!elders_.above.empty())
    status["parent"] =
        json::Object{{"icon", elders_.above.front().icon.id()},
                     {"public_address", elders_.above.front().public_address.to_string()},
                     {"heard_ms", elders_.heard_ms}};
  return status;
}

}  // namespace icon::agent
