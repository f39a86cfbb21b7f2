#include "cli/check_move.h"

#include <fmt/format.h>

#include <boost/json/serialize.hpp>

#include "cli/api.h"
#include "cli/table.h"
#include "cli/text.h"
#include "migration/movable/movable.h"

namespace icon::cli {
namespace {

constexpr std::size_t kWordsMax = 400;

bool is_true(const json::Object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  return value != nullptr && value->is_bool() && value->get_bool();
}

std::string who(const json::Object& obstacle) {
  return fmt::format("{} ({})", printable(text_of(obstacle, "process"), 40),
                     number_of(obstacle, "pid").value_or(0));
}

int blocking_among(const json::Array& obstacles) {
  int count = 0;
  for (const auto& item : obstacles)
    count += item.is_object() && is_true(item.get_object(), "blocks");
  return count;
}

int show_table(Context& context, const std::string& what, const json::Object& answer) {
  const auto& obstacles = array_of(answer, "obstacles");
  Table table({{""}, {"PROCESS"}, {"WHERE"}, {"WHAT"}});
  for (const auto& item : obstacles) {
    if (!item.is_object()) continue;
    const auto& obstacle = item.get_object();
    const bool blocks = is_true(obstacle, "blocks");
    const auto where = printable(text_of(obstacle, "where"), 60);
    table.add({{blocks ? "blocks" : "stays", blocks ? Colour::kRed : Colour::kYellow},
               who(obstacle),
               where.empty() ? "-" : where,
               printable(text_of(obstacle, "what"), kWordsMax)});
    table.add({std::string(), std::string(), std::string(),
               "-> " + printable(text_of(obstacle, "fix"), kWordsMax)});
  }
  if (!table.empty()) context.out << table.render(context.colour);
  const int blocking = blocking_among(obstacles);
  if (blocking > 0)
    context.out << fmt::format("{} cannot move: {} {} in the way.\n", what, blocking,
                               blocking == 1 ? "thing stands" : "things stand");
  else
    context.out << fmt::format("{} can move: {} processes, nothing stands in the way.\n", what,
                               number_of(answer, "processes").value_or(0));
  if (answer.contains("destination")) {
    const auto& destination = object_of(answer, "destination");
    const auto name = printable(text_of(destination, "to"), 80);
    if (is_true(destination, "has_room"))
      context.out << name << " answers and has room for it.\n";
    else
      context.out << name
                  << " cannot take it: " << printable(text_of(destination, "error"), kWordsMax)
                  << '\n';
  }
  return is_true(answer, "movable") ? kOk : kRefused;
}

int show(Context& context, const std::string& what, const json::Object& answer) {
  if (!context.json) return show_table(context, what, answer);
  context.out << boost::json::serialize(answer) << '\n';
  return is_true(answer, "movable") ? kOk : kRefused;
}

}  // namespace

int check_icon(Context& context, const std::string& icon, const std::string& to) {
  std::string target = "/v1/icons/" + url_encode(icon) + "/movable";
  if (!to.empty()) target += "?to=" + url_encode(to);
  const auto answer = Api(context.socket).get_object(target);
  if (!answer) return report(context, answer.error());
  return show(context, icon, *answer);
}

int check_process(Context& context, int pid) {
  const auto found = migration::check_movable(pid, {});
  if (!found) {
    const bool is_denied = found.error().code == Code::kRefused;
    return report(context, {is_denied ? kFailed : exit_code_of(found.error().code),
                            found.error().message, is_denied ? "Run this as root." : ""});
  }
  return show(context, "process " + std::to_string(pid), found->to_json());
}

}  // namespace icon::cli
