#include "cli/list_parts.h"

#include "base/keys.h"
#include "cli/api.h"
#include "cli/text.h"

namespace icon::cli {

std::string plain(std::int64_t number) { return std::to_string(number); }

Table::Cell state_cell(const json::Object& object, std::string_view key) {
  const auto state = text_of(object, key);
  return {state, colour_of_state(state)};
}

std::string short_of(const json::Object& object, std::string_view key) {
  const auto id = text_of(object, key);
  return id == "-" ? id : short_id(id);
}

int list_rows(Context& context, const std::string& target, std::string_view key,
              const std::string& nothing, Table table,
              const std::function<void(Table&, const json::Object&)>& fill) {
  const Api api(context.socket);
  if (context.json) {
    const auto text = api.get(target);
    if (!text) return report(context, text.error());
    context.out << *text;
    return kOk;
  }
  const auto answer = api.get_object(target);
  if (!answer) return report(context, answer.error());
  for (const auto& row : array_of(*answer, key))
    if (row.is_object()) fill(table, row.get_object());
  context.out << (table.empty() ? nothing + '\n' : table.render(context.colour));
  return kOk;
}

std::string purse_of(const json::Object& status) {
  const auto& purse = object_of(status, "purse");
  const auto budget = number_of(purse, "budget_ucredits");
  if (!budget) return "-";
  const auto spent = number_of(purse, "spent_ucredits").value_or(0);
  const auto held = number_of(purse, "held_ucredits").value_or(0);
  auto text = human_credits(spent);
  if (held > 0) text += "+" + human_credits(held);
  return text + " of " + human_credits(*budget);
}

Outcome<json::Array> rows_of_icons(Context& context, const std::string& icon, const char* key) {
  const auto answer = Api(context.socket).get_object("/v1/icons");
  if (!answer) return tl::unexpected(answer.error());
  json::Array all;
  bool found = icon.empty();
  for (const auto& value : array_of(*answer, "icons")) {
    if (!value.is_object()) continue;
    const auto& entry = value.get_object();
    if (!icon.empty() && text_of(entry, "name") != icon && !text_of(entry, "id").starts_with(icon))
      continue;
    found = true;
    for (const auto& item : array_of(object_of(entry, "status"), key)) {
      if (!item.is_object()) continue;
      json::Object row = item.get_object();
      row["icon"] = text_of(entry, "id");
      row["icon_name"] = text_of(entry, "name");
      all.push_back(std::move(row));
    }
  }
  if (!found)
    return tl::unexpected(Failure{kNotFound, "no ICON called " + icon, "`icon ps` lists them."});
  return all;
}

}  // namespace icon::cli
