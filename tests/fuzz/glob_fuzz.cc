// A pattern and a text with a zero byte between them: always an answer, soon.
#include "budget/allow_list.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::budget {

ICON_FUZZ_TARGET(glob) {
  const auto border = input.find('\0');
  if (border == std::string_view::npos) return;
  const auto pattern = input.substr(0, border);
  const auto text = input.substr(border + 1);
  const bool matches = glob_match(pattern, text);
  const bool plain = pattern.find_first_of("*?") == std::string_view::npos;
  if (plain && matches) ICON_FUZZ_REQUIRE(pattern.size() == text.size());
  if (pattern == text) ICON_FUZZ_REQUIRE(matches);
  if (matches) ICON_FUZZ_REQUIRE(glob_match(std::string(pattern) + "*", text));
}

}  // namespace icon::budget
