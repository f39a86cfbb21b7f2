// A signed document on the wire: {"type","body","signer","signature"}. The signature is Ed25519
// over the canonical JSON of the body, domain-separated by the type. Pure: no clock, no socket.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/json.h"
#include "base/keys.h"
#include "base/result.h"

namespace icon::wire {

inline constexpr std::size_t kDocumentBytesMax = 64 << 10;
// How far a peer's clock may run ahead of ours before its documents look forged.
inline constexpr Millis kClockSkewMax{120'000};

struct Envelope {
  std::string type;
  json::Object body;
  PublicKey signer;
  Signature signature{};

  json::Object to_json() const;
  // BLAKE2b-256 of type and canonical body, hex: how one document names another.
  std::string digest() const;
};

// Shape and sizes only; nothing is believed yet. A text may be one that we have kept ourselves.
// Errors: kInvalid, kLimit.
Result<Envelope> parse_envelope(const json::Value& value);
Result<Envelope> parse_envelope(std::string_view text);

// Errors: kInvalid when the body has no canonical form.
Result<Envelope> seal(const KeyPair& key, std::string type, json::Object body);
// Checks type and signature. Errors: kInvalid (other type), kUnauthenticated.
Status verify(const Envelope& envelope, std::string_view type);
// Beside the fields that we know, a newer version's may be there, but little of them: whoever keeps
// a stranger's document, or wraps it in his own, knows how large it can be. `known` is what we read
// out of `body`. Errors: kLimit.
inline constexpr std::size_t kSurplusBytesMax = 1024;
Status check_surplus(const json::Object& body, const json::Object& known);
// "issued_ms" and "expires_ms" against `now`. Errors: kExpired, kInvalid (from the future).
Status check_times(UtcMillis issued_ms, UtcMillis expires_ms, UtcMillis now_ms);

}  // namespace icon::wire
