// The text rules of a request target (RFC 3986): for the HTTP server and its tests.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace icon::http {

inline constexpr std::size_t kQueryParametersMax = 64;

// "/a/b" -> {"a", "b"}; an empty part stays ("/a//b").
std::vector<std::string_view> split_path(std::string_view path);
// nullopt for a broken escape and for control characters, written plainly or escaped.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);
// "x=1&y": the last of equal names wins.
std::optional<std::map<std::string, std::string>> parse_query(std::string_view text);

}  // namespace icon::http
