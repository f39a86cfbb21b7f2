#include "budget/allow_list.h"

#include <algorithm>

namespace icon::budget {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// DNS names may end with the root's dot.
std::string_view without_root(std::string_view domain) {
  if (domain.ends_with('.')) domain.remove_suffix(1);
  return domain;
}

const std::string* first_match(const std::vector<std::string>& patterns,
                               const ProviderNames& provider, bool by_name) {
  const auto domain = without_root(provider.domain);
  const auto found = std::find_if(patterns.begin(), patterns.end(), [&](const std::string& text) {
    const auto pattern = without_root(text);
    return (by_name && !provider.name.empty() && glob_match(pattern, provider.name)) ||
           (!domain.empty() && glob_match(pattern, domain)) ||
           (!provider.id.empty() && glob_match(pattern, provider.id));
  });
  return found == patterns.end() ? nullptr : &*found;
}

}  // namespace

bool glob_match(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  // Where to go on when the characters after the last '*' do not fit: one step further in text.
  std::size_t star = std::string_view::npos;
  std::size_t star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || lower(pattern[p]) == lower(text[t]))) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::optional<Rejection> AllowList::check(const ProviderNames& provider) const {
  if (const auto* pattern = first_match(deny, provider, /*by_name=*/true))
    return Rejection{"denied", "denied by the policy: it matches '" + *pattern + "'"};
  if (allow.empty() || first_match(allow, provider, provider.configured)) return std::nullopt;
  return Rejection{"not_allowed", "nothing in the policy's allow list matches its domain or id"};
}

}  // namespace icon::budget
