#include "wire/birth.h"

#include <algorithm>

#include "wire/fields.h"

namespace icon::wire {
namespace {

constexpr std::int64_t kParentEpochMax = std::int64_t{1} << 40;

}  // namespace

std::string_view to_string(Birth::Mode mode) {
  return mode == Birth::Mode::kFresh ? "fresh" : "clone";
}

json::Object Birth::to_json() const {
  json::Array above;
  for (const auto& ancestor : ancestors) above.push_back(json::Value(ancestor.id()));
  return {{"parent", parent.id()},        {"child", child.id()},
          {"migration_id", migration_id}, {"mode", to_string(mode)},
          {"parent_epoch", parent_epoch}, {"ancestors", std::move(above)},
          {"issued_ms", issued_ms},       {"expires_ms", expires_ms}};
}

Result<Birth> Birth::from_json(const json::Object& body) {
  Birth birth;
  ICON_TRY(birth.parent, get_key(body, "parent"));
  ICON_TRY(birth.child, get_key(body, "child"));
  if (birth.child == birth.parent) return fail(Code::kInvalid, "birth: nobody is his own child");
  ICON_TRY(birth.migration_id, get_token(body, "migration_id"));
  ICON_TRY(const auto mode, json::get_string(body, "mode", 16));
  if (mode != "clone" && mode != "fresh")
    return fail(Code::kInvalid, "birth: mode is neither clone nor fresh");
  birth.mode = mode == "fresh" ? Mode::kFresh : Mode::kClone;
  ICON_TRY(birth.parent_epoch, json::get_int(body, "parent_epoch", 1, kParentEpochMax));
  ICON_TRY(const auto* above, json::get_array(body, "ancestors", kAncestorsMax));
  for (const auto& value : *above) {
    if (!value.is_string()) return fail(Code::kInvalid, "birth: an ancestor is no id");
    ICON_TRY(const auto ancestor, PublicKey::from_id(std::string_view(value.get_string())));
    if (ancestor == birth.child || ancestor == birth.parent ||
        std::find(birth.ancestors.begin(), birth.ancestors.end(), ancestor) !=
            birth.ancestors.end())
      return fail(Code::kInvalid, "birth: somebody stands twice in the line");
    birth.ancestors.push_back(ancestor);
  }
  ICON_CHECK(read_times(body, birth));
  return birth;
}

}  // namespace icon::wire
