#include "wire/envelope.h"

#include <algorithm>

#include "base/assert.h"
#include "base/digest.h"
#include "base/encoding.h"

namespace icon::wire {

json::Object Envelope::to_json() const {
  return {{"type", type},
          {"body", body},
          {"signer", signer.id()},
          {"signature", base64_encode(signature)}};
}

std::string Envelope::digest() const {
  const auto text = json::canonical(body);
  ICON_ASSERT(text);  // sealed or verified bodies have a canonical form
  return blake2b_hex(type + '\0' + *text);
}

Result<Envelope> parse_envelope(const json::Value& value) {
  const auto* object = value.if_object();
  if (object == nullptr) return fail(Code::kInvalid, "a document must be a JSON object");
  Envelope envelope;
  ICON_TRY(envelope.type, json::get_string(*object, "type", 32));
  ICON_TRY(const auto* body, json::get_object(*object, "body"));
  envelope.body = *body;
  if (const auto text = json::canonical(envelope.body); !text)
    return fail(text.error());
  else if (text->size() > kDocumentBytesMax)
    return fail(Code::kLimit,
                "document larger than " + std::to_string(kDocumentBytesMax) + " bytes");
  ICON_TRY(const auto signer, json::get_string(*object, "signer", 64));
  ICON_TRY(envelope.signer, PublicKey::from_id(signer));
  ICON_TRY(const auto encoded, json::get_string(*object, "signature", 128));
  ICON_TRY(const auto bytes, base64_decode(encoded, envelope.signature.size()));
  if (bytes.size() != envelope.signature.size())
    return fail(Code::kInvalid, "signature has " + std::to_string(bytes.size()) + " bytes, not 64");
  std::copy(bytes.begin(), bytes.end(), envelope.signature.begin());
  return envelope;
}

Result<Envelope> parse_envelope(std::string_view text) {
  ICON_TRY(const auto value, json::parse(text, 2 * kDocumentBytesMax, json::kOwnDepthMax));
  return parse_envelope(value);
}

Result<Envelope> seal(const KeyPair& key, std::string type, json::Object body) {
  ICON_TRY(const auto text, json::canonical(body));
  Envelope envelope{std::move(type), std::move(body), key.public_key(), {}};
  envelope.signature = key.sign(envelope.type, text);
  return envelope;
}

Status verify(const Envelope& envelope, std::string_view type) {
  if (envelope.type != type)
    return fail(Code::kInvalid,
                "document is a '" + envelope.type + "', expected a '" + std::string(type) + "'");
  ICON_TRY(const auto text, json::canonical(envelope.body));
  if (!icon::verify(envelope.signer, envelope.type, text, envelope.signature))
    return fail(Code::kUnauthenticated, std::string(type) + ": signature does not match signer " +
                                            short_id(envelope.signer.id()));
  return {};
}

Status check_surplus(const json::Object& body, const json::Object& known) {
  if (body.size() == known.size() && body == known) return {};
  if (json::depth(body) > json::depth(known) + 1)
    return fail(Code::kLimit, "document with fields that are nested too deeply");
  ICON_TRY(const auto all, json::canonical(body));
  ICON_TRY(const auto read, json::canonical(known));
  if (all.size() > read.size() + kSurplusBytesMax)
    return fail(Code::kLimit, "document with more than " + std::to_string(kSurplusBytesMax) +
                                  " bytes that nobody knows");
  return {};
}

Status check_times(UtcMillis issued_ms, UtcMillis expires_ms, UtcMillis now_ms) {
  if (issued_ms > now_ms + kClockSkewMax.count())
    return fail(Code::kInvalid, "document was issued in the future: compare the clocks");
  if (expires_ms <= now_ms) return fail(Code::kExpired, "document has expired");
  return {};
}

}  // namespace icon::wire
