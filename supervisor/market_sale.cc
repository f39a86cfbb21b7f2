// What the market owes to sales by sealed bids: slots set aside, and offers to those who won.
#include <cstdlib>

#include "base/encoding.h"
#include "supervisor/market.h"
#include "supervisor/market_rules.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kNonceBytes = 12;
// So long after its offer a sale, here or in an exchange, may ask whether the slot was taken:
// longer than any sale goes on.
constexpr Millis kMarksKept{2LL * 24 * 3600 * 1000};
constexpr std::string_view kOffers = "sale_offer/";
constexpr std::string_view kLeases = "sale_lease/";
constexpr std::string_view kTaken = "sale_taken/";

std::string offer_key(const std::string& digest) { return std::string(kOffers) + digest; }
std::string lease_key(const std::string& lease_id) { return std::string(kLeases) + lease_id; }
std::string taken_key(const std::string& sale, const std::string& icon) {
  return std::string(kTaken) + sale + "/" + icon;
}

// The last word of a mark is when it may go.
std::string until(const std::string& mark, UtcMillis end_ms) {
  return mark + " " + std::to_string(end_ms);
}
UtcMillis end_of(const std::string& mark) {
  const auto space = mark.rfind(' ');
  return space == std::string::npos ? 0 : std::strtoll(mark.c_str() + space, nullptr, 10);
}

}  // namespace

Result<std::int64_t> Market::slots_set_aside() const {
  auto left = config_.sealed_bids.slots;
  if (left == 0) return left;
  ICON_TRY(const auto leases, journal_.open_leases());
  for (const auto& lease : leases) {
    if (!holds_capacity(lease)) continue;
    ICON_TRY(const auto mark, journal_.value(lease_key(lease.lease_id)));
    left -= mark.has_value();
  }
  return std::max<std::int64_t>(left, 0);
}

Result<wire::Envelope> Market::offer_of_sale(const SaleOffer& of, const wire::Resources& resources,
                                             std::int64_t slot_seconds, wire::MicroCredits price) {
  wire::Offer offer;
  offer.provider = key_.public_key();
  offer.provider_name = config_.provider_name;
  offer.country = config_.country;
  offer.kind = config_.kind;
  offer.nonce = random_token(kNonceBytes);
  offer.resources = resources;
  offer.slot_seconds = slot_seconds;
  offer.price_ucredits = price;
  offer.api = config_.api;
  offer.public_address = config_.public_address;
  offer.issued_ms = clock_.utc_ms();
  offer.expires_ms = offer.issued_ms + kOfferLifetime.count();
  ICON_TRY(auto envelope, wire::seal(key_, offer));
  ICON_CHECK(
      journal_.put_value(offer_key(envelope.digest()),
                         until(of.sale + " " + of.icon, offer.expires_ms + kMarksKept.count())));
  return envelope;
}

std::optional<Market::SaleOffer> Market::sale_of(const wire::Envelope& offer) const {
  if (config_.sealed_bids.slots == 0) return std::nullopt;
  const auto text = journal_.value(offer_key(offer.digest()));
  if (!text || !*text) return std::nullopt;
  const auto space = (*text)->find(' ');
  if (space == std::string::npos) return std::nullopt;
  const auto icon = (*text)->substr(space + 1);
  return SaleOffer{(*text)->substr(0, space), icon.substr(0, icon.find(' '))};
}

Status Market::note_taken(const wire::Envelope& offer, const std::string& lease_id) {
  const auto sale = sale_of(offer);
  if (!sale) return {};
  ICON_CHECK(journal_.put_value(lease_key(lease_id), sale->sale));
  return journal_.put_value(taken_key(sale->sale, sale->icon),
                            until(lease_id, clock_.utc_ms() + kMarksKept.count()));
}

Status Market::forget_sales() {
  return journal_.transaction([&]() -> Status {
    for (const auto prefix : {kOffers, kTaken}) {
      ICON_TRY(const auto marks, journal_.values(prefix));
      for (const auto& [key, mark] : marks)
        if (end_of(mark) <= clock_.utc_ms()) ICON_CHECK(journal_.remove_value(key));
    }
    ICON_TRY(const auto leases, journal_.values(kLeases));
    for (const auto& [key, sale] : leases) {
      ICON_TRY(const auto lease, journal_.find_lease(key.substr(kLeases.size())));
      if (!lease) ICON_CHECK(journal_.remove_value(key));
    }
    return {};
  });
}

bool Market::has_taken(const std::string& sale, const std::string& icon) const {
  const auto taken = journal_.value(taken_key(sale, icon));
  return taken && *taken;
}

}  // namespace icon::supervisor
