// What a provider says of itself, and signs with its offer: in which country its hosts stand, and
// what kind of provider it is.
#pragma once

#include <algorithm>
#include <string_view>

namespace icon::wire {

inline constexpr std::size_t kProviderKindBytesMax = 32;

// ISO 3166-1 alpha-2: "DE".
inline bool is_country(std::string_view text) {
  const auto is_letter = [](char c) { return c >= 'A' && c <= 'Z'; };
  return text.size() == 2 && std::all_of(text.begin(), text.end(), is_letter);
}

// A word like "access", "campus" or "cloud".
inline bool is_provider_kind(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  return !text.empty() && text.size() <= kProviderKindBytesMax &&
         std::all_of(text.begin(), text.end(), fits);
}

}  // namespace icon::wire
