#include "cli/path.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json/serialize.hpp>
#include <optional>
#include <vector>

#include "cli/api.h"
#include "cli/path_view.h"
#include "cli/text.h"

namespace icon::cli {
namespace {

constexpr std::size_t kPrefixesNamed = 12;

struct IconMap {
  std::string name;
  std::string id;
  wire::NetworkMap map;
};

bool is_inside(const Prefix& inner, const Prefix& outer) {
  return outer.length <= inner.length && outer.contains(inner.address);
}

// The paths that a prefix, or an address, means: the one that it lies in, else those in it.
std::vector<const wire::MapPath*> meant(const wire::NetworkMap& map, const Prefix& wanted) {
  std::vector<const wire::MapPath*> inside;
  for (const auto& path : map.paths) {
    if (is_inside(wanted, path.prefix)) return {&path};
    if (is_inside(path.prefix, wanted)) inside.push_back(&path);
  }
  return inside;
}

std::string named(const std::vector<const wire::MapPath*>& paths) {
  std::string text;
  for (std::size_t i = 0; i < std::min(paths.size(), kPrefixesNamed); ++i)
    text += (i == 0 ? "" : ", ") + paths[i]->prefix.to_string();
  return paths.size() > kPrefixesNamed ? text + ", ..." : text;
}

// What this ICON has told; nothing when that is nothing yet.
Outcome<std::optional<IconMap>> map_of(const Api& api, const json::Object& icon) {
  IconMap known{text_of(icon, "name"), text_of(icon, "id"), {}};
  const auto state = text_of(icon, "state");
  if (state != "running" && state != "migrating") return std::optional<IconMap>{};
  const auto answer = api.get_object("/v1/icons/" + url_encode(known.id) + "/map");
  if (!answer && answer.error().exit_code == kNotFound) return std::optional<IconMap>{};
  if (!answer) return tl::unexpected(answer.error());
  auto map = wire::NetworkMap::from_json(*answer);
  if (!map) return failure(kFailed, known.name + "'s map: " + map.error().message);
  known.map = std::move(*map);
  return std::optional<IconMap>(std::move(known));
}

tl::unexpected<Failure> no_map(const json::Object& icon) {
  const auto name = text_of(icon, "name");
  const auto state = text_of(icon, "state");
  if (state == "moved")
    return failure(kNotFound,
                   name + " has moved to " + text_of(object_of(icon, "moved_to"), "public_address"),
                   "It tells its paths to the supervisor there: run icon path on that host.");
  if (state != "running" && state != "migrating")
    return failure(kNotFound, name + " is " + state, "Only an ICON that runs knows its paths.");
  return failure(kNotFound, name + " has told nothing about its paths yet",
                 "It does with its next decision, some seconds after its start; icon logs " + name +
                     " --source agent shows what it does.");
}

Outcome<std::vector<IconMap>> maps(const Api& api, const std::string& named_icon) {
  std::vector<IconMap> found;
  if (!named_icon.empty()) {
    CLI_TRY(const auto icon, api.get_object("/v1/icons/" + url_encode(named_icon)));
    CLI_TRY(auto map, map_of(api, icon));
    if (!map) return no_map(icon);
    found.push_back(std::move(*map));
    return found;
  }
  CLI_TRY(const auto answer, api.get_object("/v1/icons"));
  const auto& icons = array_of(answer, "icons");
  for (const auto& icon : icons) {
    if (!icon.is_object()) continue;
    CLI_TRY(auto map, map_of(api, icon.get_object()));
    if (map) found.push_back(std::move(*map));
  }
  if (!found.empty()) return found;
  if (icons.size() == 1 && icons[0].is_object()) return no_map(icons[0].get_object());
  return failure(kNotFound, "no ICON of this host has told anything about its paths",
                 "icon ps lists the ICONs; they tell with their next decision.");
}

tl::unexpected<Failure> unknown(const std::vector<IconMap>& maps, const std::string& prefix) {
  std::string known;
  std::string names;
  std::size_t left_out = 0;
  for (const auto& one : maps) {
    std::vector<const wire::MapPath*> all;
    for (const auto& path : one.map.paths) all.push_back(&path);
    names += (names.empty() ? "" : ", ") + one.name;
    if (!all.empty()) known += (known.empty() ? "" : "; ") + one.name + ": " + named(all);
    left_out += static_cast<std::size_t>(one.map.prefixes_total) > all.size();
  }
  if (known.empty())
    return failure(kNotFound, names + ": no users at the moment", "icon ps shows connections.");
  return failure(kNotFound, "no known users in " + prefix,
                 "Known are " + known + (left_out > 0 ? " (those with most users)" : "") +
                     ". Try icon path with one of these, or with an address in it.");
}

int print_path(Context& context, const IconMap& icon, const wire::MapPath& path,
               const std::string& format) {
  const PathView view{icon.name, icon.id, icon.map, path, context.clock.utc_ms()};
  if (format == "json")
    context.out << boost::json::serialize(path_json(view)) << '\n';
  else if (format == "dot")
    context.out << path_dot(view);
  else if (format == "svg")
    context.out << path_svg(view);
  else
    context.out << path_text(view, context.colour);
  return kOk;
}

}  // namespace

void add_path_options(CLI::App& command, PathOptions& options) {
  command.add_option("prefix", options.prefix, "users' prefix like 198.51.100.0/24, or an address")
      ->required();
  command.add_option("icon", options.icon, "whose users; else whichever ICON has some there");
  command.add_option("-o,--output", options.format, "table, json, dot or svg")
      ->check(CLI::IsMember({"table", "json", "dot", "svg"}));
  command.footer("Example: icon path 198.51.100.7 -o svg > path.svg");
}

int show_path(Context& context, const PathOptions& options) {
  const auto wanted = Prefix::parse(options.prefix);
  if (!wanted)
    return report(context, {kUsage, wanted.error().message,
                            "Give a prefix like 198.51.100.0/24, or an address."});
  const auto known = maps(Api(context.socket), options.icon);
  if (!known) return report(context, known.error());
  const IconMap* whose = nullptr;
  std::vector<const wire::MapPath*> paths;
  for (const auto& icon : *known) {
    auto found = meant(icon.map, *wanted);
    if (found.empty()) continue;
    if (whose != nullptr)
      return report(context,
                    {kUsage, whose->name + " and " + icon.name + " have users in " + options.prefix,
                     "Name one: icon path " + options.prefix + " " + whose->name});
    whose = &icon;
    paths = std::move(found);
  }
  if (whose == nullptr) return report(context, unknown(*known, options.prefix).value());
  if (paths.size() > 1)
    return report(context, {kUsage, options.prefix + " holds several prefixes with users",
                            "Choose one: " + named(paths)});
  return print_path(context, *whose, *paths.front(), options.format);
}

}  // namespace icon::cli
