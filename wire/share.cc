#include "wire/share.h"

#include "wire/fields.h"

namespace icon::wire {

json::Object Share::to_json() const {
  json::Array above;
  for (const auto& ancestor : ancestors) above.push_back(json::Value(ancestor.id()));
  return {{"parent", parent.id()},
          {"child", child.id()},
          {"total_ucredits", total_ucredits},
          {"ancestors", std::move(above)},
          {"issued_ms", issued_ms}};
}

Result<Share> Share::from_json(const json::Object& body) {
  Share share;
  ICON_TRY(share.parent, get_key(body, "parent"));
  ICON_TRY(share.child, get_key(body, "child"));
  ICON_TRY(share.total_ucredits, get_money(body, "total_ucredits"));
  ICON_TRY(const auto* above, json::get_array(body, "ancestors", kAncestorsMax));
  for (const auto& value : *above) {
    if (!value.is_string()) return fail(Code::kInvalid, "share: an ancestor is no id");
    ICON_TRY(const auto ancestor, PublicKey::from_id(std::string_view(value.get_string())));
    share.ancestors.push_back(ancestor);
  }
  ICON_TRY(share.issued_ms, get_time(body, "issued_ms"));
  return share;
}

json::Object ShareReturn::to_json() const {
  return {{"child", child.id()},
          {"grantor", grantor.id()},
          {"to", to.id()},
          {"total_ucredits", total_ucredits},
          {"issued_ms", issued_ms}};
}

Result<ShareReturn> ShareReturn::from_json(const json::Object& body) {
  ShareReturn what;
  ICON_TRY(what.child, get_key(body, "child"));
  ICON_TRY(what.grantor, get_key(body, "grantor"));
  ICON_TRY(what.to, get_key(body, "to"));
  ICON_TRY(what.total_ucredits, get_money(body, "total_ucredits"));
  ICON_TRY(what.issued_ms, get_time(body, "issued_ms"));
  return what;
}

}  // namespace icon::wire
