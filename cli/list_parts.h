// What the listings share: cells, and the way from an answer of the API to a table.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/table.h"

namespace icon::cli {

inline constexpr auto kRight = Table::Align::kRight;

template <class Format>
std::string or_dash(std::optional<std::int64_t> number, Format format) {
  return number ? format(*number) : "-";
}
std::string plain(std::int64_t number);
Table::Cell state_cell(const json::Object& object, std::string_view key = "state");
std::string short_of(const json::Object& object, std::string_view key);
// "0.3+0.1 of 5": spent, held, of the budget in an ICON's status.
std::string purse_of(const json::Object& status);

// Gets `target`; prints it as it is for -o json, else the table that `fill` makes of `key`'s rows.
int list_rows(Context& context, const std::string& target, std::string_view key,
              const std::string& nothing, Table table,
              const std::function<void(Table&, const json::Object&)>& fill);
// The rows under `key` in the status of each ICON, or of the one that is named.
Outcome<json::Array> rows_of_icons(Context& context, const std::string& icon, const char* key);

class Api;
// What the ICONs here have left, and what their last decisions cost and saved.
int show_money(Context& context, const Api& api);
// What there is to know of an ICON beside its money, each line after `indent`: its name in the DNS,
// its replicas, warnings.
void show_standing(Context& context, const json::Object& status, const std::string& indent);

}  // namespace icon::cli
