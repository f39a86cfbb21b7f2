// What the market owes to sales by sealed bids: slots set aside, and offers to those who won.
#include "base/encoding.h"
#include "supervisor/market.h"
#include "supervisor/market_rules.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kNonceBytes = 12;

std::string offer_key(const std::string& digest) { return "sale_offer/" + digest; }
std::string lease_key(const std::string& lease_id) { return "sale_lease/" + lease_id; }
std::string taken_key(const std::string& sale, const std::string& icon) {
  return "sale_taken/" + sale + "/" + icon;
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
  ICON_CHECK(journal_.put_value(offer_key(envelope.digest()), of.sale + " " + of.icon));
  return envelope;
}

std::optional<Market::SaleOffer> Market::sale_of(const wire::Envelope& offer) const {
  if (config_.sealed_bids.slots == 0) return std::nullopt;
  const auto text = journal_.value(offer_key(offer.digest()));
  if (!text || !*text) return std::nullopt;
  const auto space = (*text)->find(' ');
  if (space == std::string::npos) return std::nullopt;
  return SaleOffer{(*text)->substr(0, space), (*text)->substr(space + 1)};
}

Status Market::note_taken(const wire::Envelope& offer, const std::string& lease_id) {
  const auto sale = sale_of(offer);
  if (!sale) return {};
  ICON_CHECK(journal_.put_value(lease_key(lease_id), sale->sale));
  return journal_.put_value(taken_key(sale->sale, sale->icon), lease_id);
}

bool Market::has_taken(const std::string& sale, const std::string& icon) const {
  const auto taken = journal_.value(taken_key(sale, icon));
  return taken && *taken;
}

}  // namespace icon::supervisor
