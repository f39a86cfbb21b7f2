// How the fields that many documents share are read: each reader refuses what is absurd and names
// the field. Errors of all: kInvalid.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "wire/documents.h"

namespace icon::wire {

inline constexpr std::int64_t kResourceMax = std::int64_t{1} << 50;
inline constexpr std::size_t kDigestCharacters = 64;

Result<PublicKey> get_key(const json::Object& object, std::string_view key);
// The field "resources".
Result<Resources> get_resources(const json::Object& object);
Result<MicroCredits> get_money(const json::Object& object, std::string_view key);
Result<UtcMillis> get_time(const json::Object& object, std::string_view key);
// The field "epoch", from 1.
Result<std::int64_t> get_epoch(const json::Object& object);
// Letters, digits, - and _: tokens become file names and log fields.
Result<std::string> get_token(const json::Object& object, std::string_view key);
// A text for people. It ends on a terminal: no control characters, C1 ones (0xC2 0x80 to 0x9F)
// included.
Result<std::string> get_text(const json::Object& object, std::string_view key,
                             std::size_t bytes_max);
// 64 lower-case hex digits: a BLAKE2b-256 of something.
Result<std::string> get_digest(const json::Object& object, std::string_view key);

template <class Document>
Status read_times(const json::Object& body, Document& document) {
  ICON_TRY(document.issued_ms, get_time(body, "issued_ms"));
  ICON_TRY(document.expires_ms, get_time(body, "expires_ms"));
  return {};
}

}  // namespace icon::wire
