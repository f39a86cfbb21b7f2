#include "budget/offer_check.h"

#include <fmt/format.h>

namespace icon::budget {
namespace {

Rejection reject(std::string code, std::string message) {
  return {std::move(code), std::move(message)};
}

std::string shown(const std::string& id) { return id.empty() ? "an unknown key" : short_id(id); }

// What is missing of `need`, in words; empty when the offer covers it.
std::string missing(const wire::Resources& offered, const wire::Resources& need) {
  std::string text;
  const auto compare = [&](std::int64_t has, std::int64_t wants, std::string_view unit) {
    if (has >= wants) return;
    text += fmt::format("{}{} of {} {}", text.empty() ? "" : ", ", has, wants, unit);
  };
  compare(offered.cpu_millis, need.cpu_millis, "millicores");
  compare(offered.memory_bytes, need.memory_bytes, "bytes of memory");
  compare(offered.bandwidth_bps, need.bandwidth_bps, "bit/s");
  return text;
}

std::optional<Rejection> check_terms(const wire::Offer& offer, const OfferRequest& request,
                                     UtcMillis now_ms) {
  if (offer.nonce != request.nonce)
    return reject("nonce_mismatch", "the offer answers another request: a replay, or an old one");
  if (const auto times = wire::check_times(offer.issued_ms, offer.expires_ms, now_ms); !times)
    return times.error().code == Code::kExpired
               ? reject("expired",
                        fmt::format("the offer expired {} ms ago", now_ms - offer.expires_ms))
               : reject("not_yet_valid",
                        fmt::format("the offer was issued {} ms in the future: compare the clocks",
                                    offer.issued_ms - now_ms));
  if (offer.expires_ms - offer.issued_ms > kOfferLifetimeMax.count())
    return reject("malformed", "the offer is good for more than a day");
  if (!offer.resources.covers(request.need))
    return reject("resources_short",
                  "offers too little: " + missing(offer.resources, request.need));
  if (offer.slot_seconds < request.slot_seconds)
    return reject("slot_short", fmt::format("offers {} s of the {} s that were asked for",
                                            offer.slot_seconds, request.slot_seconds));
  if (auto refused = request.residency.refusal(offer))
    return reject("residency", std::move(*refused));
  for (const auto& limit : request.limits)
    if (auto rejection = check_price(offer.price_ucredits, limit)) return rejection;
  return std::nullopt;
}

}  // namespace

PriceLimit max_price_limit(MicroCredits amount) {
  return {amount, "over_max_price", "micro-credits that the policy allows for one slot"};
}

PriceLimit budget_limit(MicroCredits amount) {
  return {amount, "over_budget", "micro-credits that are left in the budget"};
}

PriceLimit gain_limit(MicroCredits amount) {
  return {amount, "too_dear", "micro-credits that the gain is worth over the horizon"};
}

std::optional<Rejection> check_price(MicroCredits price, const PriceLimit& limit) {
  if (price <= limit.amount) return std::nullopt;
  return reject(limit.code, fmt::format("too dear: {} > {} {}", price, limit.amount, limit.why));
}

Rejection key_mismatch(const std::string& expected_id, const std::string& actual_id) {
  return reject("key_mismatch",
                fmt::format("its name announces the key {}, but {} answered and signed",
                            shown(expected_id), shown(actual_id)));
}

OfferVerdict check_offer(const wire::Envelope& envelope, const OfferRequest& request,
                         UtcMillis now_ms) {
  const auto signer = envelope.signer.id();
  // First who it is: a forger's signature and terms are of no interest.
  if (request.expected_id && envelope.signer != *request.expected_id)
    return {std::nullopt, key_mismatch(request.expected_id->id(), signer)};
  if (!request.observed_id.empty() && request.observed_id != signer)
    return {std::nullopt, key_mismatch(signer, request.observed_id)};
  auto offer = wire::open<wire::Offer>(envelope);
  if (!offer)
    return {std::nullopt,
            reject(offer.error().code == Code::kUnauthenticated ? "bad_signature" : "malformed",
                   offer.error().message)};
  auto rejection = check_terms(*offer, request, now_ms);
  return {std::move(*offer), std::move(rejection)};
}

OfferVerdict check_offer(const json::Value& envelope, const OfferRequest& request,
                         UtcMillis now_ms) {
  const auto parsed = wire::parse_envelope(envelope);
  if (!parsed) return {std::nullopt, reject("malformed", parsed.error().message)};
  return check_offer(*parsed, request, now_ms);
}

}  // namespace icon::budget
