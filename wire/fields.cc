#include "wire/fields.h"

#include <algorithm>
#include <cctype>
#include <limits>

namespace icon::wire {
namespace {

constexpr std::int64_t kTimeMax = std::numeric_limits<std::int64_t>::max() / 2;
constexpr std::int64_t kEpochMax = std::int64_t{1} << 48;
constexpr std::size_t kTokenBytesMax = 128;

}  // namespace

Result<PublicKey> get_key(const json::Object& object, std::string_view key) {
  ICON_TRY(const auto text, json::get_string(object, key, 64));
  return PublicKey::from_id(text);
}

Result<Resources> get_resources(const json::Object& object) {
  ICON_TRY(const auto* resources, json::get_object(object, "resources"));
  return Resources::from_json(*resources);
}

Result<MicroCredits> get_money(const json::Object& object, std::string_view key) {
  return json::get_int(object, key, 0, kMicroCreditsMax);
}

Result<UtcMillis> get_time(const json::Object& object, std::string_view key) {
  return json::get_int(object, key, 0, kTimeMax);
}

Result<std::int64_t> get_epoch(const json::Object& object) {
  return json::get_int(object, "epoch", 1, kEpochMax);
}

Result<std::string> get_token(const json::Object& object, std::string_view key) {
  ICON_TRY(auto text, json::get_string(object, key, kTokenBytesMax));
  for (const char c : text)
    if (!(std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_'))
      return fail(Code::kInvalid, "field '" + std::string(key) +
                                      "' has other characters than letters, digits, - and _");
  if (text.empty()) return fail(Code::kInvalid, "field '" + std::string(key) + "' is empty");
  return text;
}

Result<std::string> get_text(const json::Object& object, std::string_view key,
                             std::size_t bytes_max) {
  ICON_TRY(auto text, json::get_string(object, key, bytes_max));
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool c1 =
        byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (byte < 0x20 || byte == 0x7f || c1)
      return fail(Code::kInvalid, "field '" + std::string(key) + "' holds control characters");
  }
  return text;
}

Result<std::string> get_digest(const json::Object& object, std::string_view key) {
  ICON_TRY(auto text, json::get_string(object, key, kDigestCharacters));
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (text.size() != kDigestCharacters || !std::all_of(text.begin(), text.end(), is_hex))
    return fail(Code::kInvalid, "field '" + std::string(key) + "' is no digest");
  return text;
}

}  // namespace icon::wire
