// An offer is accepted only when it is signed by the key that was expected; every rejection has a
// code and a sentence.
#include "budget/offer_check.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::budget {

ICON_FUZZ_TARGET(offer) {
  constexpr UtcMillis kNow = 1'700'000'000'000;
  static const KeyPair key = KeyPair::from_seed({1});
  const auto value = json::parse(input, 2 * wire::kDocumentBytesMax);
  if (!value) return;
  OfferRequest request;
  request.nonce = "n1";
  request.need = {1, 1, 1};
  request.slot_seconds = 60;
  request.limits = {max_price_limit(1'000), budget_limit(500)};
  const auto verdict = check_offer(*value, request, kNow);
  ICON_FUZZ_REQUIRE(verdict.accepted() != verdict.rejection.has_value());
  ICON_FUZZ_REQUIRE(!verdict.rejection ||
                    (!verdict.rejection->code.empty() && !verdict.rejection->message.empty()));
  // The same body under our signature: now only its terms count.
  const auto* envelope = value->if_object();
  const auto* body = envelope == nullptr ? nullptr : envelope->if_contains("body");
  if (body == nullptr || !body->is_object()) return;
  auto terms = body->get_object();
  terms["provider"] = key.id();
  const auto sealed = wire::seal(key, "offer", std::move(terms));
  if (!sealed) return;
  request.expected_id = key.public_key();
  const auto signed_verdict = check_offer(*sealed, request, kNow);
  if (!signed_verdict.accepted()) return;
  ICON_FUZZ_REQUIRE(signed_verdict.offer->price_ucredits <= 500);
  ICON_FUZZ_REQUIRE(signed_verdict.offer->expires_ms > kNow);
  ICON_FUZZ_REQUIRE(signed_verdict.offer->resources.covers(request.need));
  ICON_FUZZ_REQUIRE(signed_verdict.offer->nonce == "n1");
}

}  // namespace icon::budget
