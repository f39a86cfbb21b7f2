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

// Adds what `obstacles` says, each with its fix.
void add_rows(Table& table, const json::Array& obstacles, const std::string& host) {
  for (const auto& item : obstacles) {
    if (!item.is_object()) continue;
    const auto& obstacle = item.get_object();
    const bool blocks = is_true(obstacle, "blocks");
    const auto where = printable(text_of(obstacle, "where"), 60);
    table.add({{blocks         ? "blocks"
                : host.empty() ? "stays"
                               : "slower",
                blocks ? Colour::kRed : Colour::kYellow},
               host.empty() ? who(obstacle) : host,
               where.empty() ? "-" : where,
               printable(text_of(obstacle, "what"), kWordsMax)});
    table.add({std::string(), std::string(), std::string(),
               "-> " + printable(text_of(obstacle, "fix"), kWordsMax)});
  }
}

void show_obstacles(Context& context, const json::Array& obstacles, const std::string& host = "") {
  Table table({{""}, {host.empty() ? "PROCESS" : "HOST"}, {"WHERE"}, {"WHAT"}});
  add_rows(table, obstacles, host);
  if (!table.empty()) context.out << table.render(context.colour);
}

void show_destination(Context& context, const json::Object& destination) {
  const auto name = printable(text_of(destination, "to"), 80);
  const auto& obstacles = array_of(destination, "obstacles");
  show_obstacles(context, obstacles, name);
  if (const int blocking = blocking_among(obstacles); blocking > 0)
    context.out << fmt::format("{} cannot run it: {} {} in the way.\n", name, blocking,
                               blocking == 1 ? "thing stands" : "things stand");
  if (!is_true(destination, "has_room"))
    context.out << name
                << " cannot take it: " << printable(text_of(destination, "error"), kWordsMax)
                << '\n';
  else
    context.out << name << " answers and has room for it.\n";
  if (is_true(destination, "has_room") && !is_true(destination, "known"))
    context.out << name << " does not tell what its kernel, processor and CRIU can do: unknown.\n";
}

int show_table(Context& context, const std::string& what, const json::Object& answer) {
  const auto& obstacles = array_of(answer, "obstacles");
  show_obstacles(context, obstacles);
  const int blocking = blocking_among(obstacles);
  if (blocking > 0)
    context.out << fmt::format("{} cannot move: {} {} in the way.\n", what, blocking,
                               blocking == 1 ? "thing stands" : "things stand");
  else
    context.out << fmt::format("{} can move: {} processes, nothing stands in the way.\n", what,
                               number_of(answer, "processes").value_or(0));
  if (answer.contains("destination")) show_destination(context, object_of(answer, "destination"));
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

int check_destination(Context& context, const std::string& to) {
  const auto answer = Api(context.socket).get_object("/v1/traits?to=" + url_encode(to));
  if (!answer) return report(context, answer.error());
  if (context.json)
    context.out << boost::json::serialize(*answer) << '\n';
  else
    show_destination(context, *answer);
  return is_true(*answer, "fit") ? kOk : kRefused;
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
