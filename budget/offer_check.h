// Is this offer what was asked for, from whom it was asked, at a price worth talking about? Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "budget/money.h"
#include "budget/residency.h"
#include "wire/documents.h"

namespace icon::budget {

// An offer that is good for longer than this is not an offer but a price list.
inline constexpr Millis kOfferLifetimeMax{24LL * 3600 * 1000};

// Why a provider is out of the running. `code` is stable (for machines), `message` is a sentence.
// Codes of check_offer: malformed, bad_signature, key_mismatch, nonce_mismatch, not_yet_valid,
// expired, resources_short, slot_short, residency, over_max_price, over_budget, too_dear.
// Codes of decide: denied, not_allowed, current_host, no_offer, no_estimate, no_gain,
// below_margin, outbid, residency and the prices above. The agent adds: unreachable, no_provider.
struct Rejection {
  std::string code;
  std::string message;

  bool operator==(const Rejection&) const = default;
};

// A ceiling for the price of one slot, and why.
struct PriceLimit {
  MicroCredits amount = 0;
  std::string code;  // "over_max_price", "over_budget", "too_dear"
  std::string why;   // completes "too dear: N > M ..."
};
PriceLimit max_price_limit(MicroCredits amount);
PriceLimit budget_limit(MicroCredits amount);
PriceLimit gain_limit(MicroCredits amount);
// nullopt when `price` is within the limit; equal is within.
std::optional<Rejection> check_price(MicroCredits price, const PriceLimit& limit);

struct OfferRequest {
  std::optional<PublicKey> expected_id;  // what DNS or the configuration says; none: anyone
  std::string observed_id;               // the TLS peer's id; empty: not known
  std::string nonce;                     // that went out with the request
  wire::Resources need;
  std::int64_t slot_seconds = 0;
  Residency residency;
  std::vector<PriceLimit> limits;
};

struct OfferVerdict {
  std::optional<wire::Offer> offer;  // set when the document is genuine, even if it is rejected
  std::optional<Rejection> rejection;
  bool accepted() const { return offer.has_value() && !rejection.has_value(); }
};

OfferVerdict check_offer(const wire::Envelope& envelope, const OfferRequest& request,
                         UtcMillis now_ms);
// The same from the bytes a stranger sent.
OfferVerdict check_offer(const json::Value& envelope, const OfferRequest& request,
                         UtcMillis now_ms);
// A TLS peer that is not who DNS announced, for agents that only hear of it.
Rejection key_mismatch(const std::string& expected_id, const std::string& actual_id);

}  // namespace icon::budget
