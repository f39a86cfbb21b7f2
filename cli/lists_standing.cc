// How an ICON stands, beside its money.
#include <fmt/format.h>

#include "cli/api.h"
#include "cli/list_parts.h"
#include "cli/text.h"

namespace icon::cli {
namespace {

constexpr std::size_t kShownMax = 200;

std::string joined(const json::Object& object, std::string_view key) {
  std::string text;
  for (const auto& value : array_of(object, key))
    if (value.is_string()) text += (text.empty() ? "" : ", ") + std::string(value.get_string());
  return printable(text, kShownMax);
}

std::string line_of_dns(const json::Object& dns) {
  const auto name = printable(text_of(dns, "name"), kShownMax);
  const auto state = text_of(dns, "state");
  if (state == "failing")
    return fmt::format(
        "{} is not kept at {}: {}: {} ({} attempts, it goes on)", name,
        printable(text_of(dns, "server"), kShownMax), printable(text_of(dns, "code"), kShownMax),
        printable(text_of(dns, "message"), kShownMax), number_of(dns, "failures").value_or(0));
  const bool is_there = state == "ok";
  const auto addresses = joined(dns, is_there ? "present" : "wanted");
  return fmt::format("{} {} {}", name, is_there ? "leads to" : "is about to lead to",
                     addresses.empty() ? "nobody of this ICON's" : addresses);
}

}  // namespace

void show_standing(Context& context, const json::Object& status, const std::string& indent) {
  const auto& dns = object_of(status, "dns");
  if (!dns.empty()) context.out << indent << line_of_dns(dns) << '\n';
  for (const auto& value : array_of(object_of(status, "family"), "children")) {
    if (!value.is_object()) continue;
    const auto& child = value.get_object();
    context.out << indent
                << fmt::format("replica {} at {} ({}): {}, {} connections\n",
                               short_of(child, "icon"), printable(text_of(child, "provider"), 64),
                               printable(text_of(child, "public_address"), 64),
                               printable(text_of(child, "state"), 16),
                               number_of(child, "connections").value_or(0));
  }
  for (const auto& value : array_of(status, "warnings"))
    if (value.is_string())
      context.out << indent << "warning: " << printable(std::string(value.get_string()), kShownMax)
                  << '\n';
}

}  // namespace icon::cli
