#include "supervisor/market.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/log.h"
#include "supervisor/market_rules.h"

namespace icon::supervisor {
namespace {

void take(wire::Resources& free, const wire::Resources& used) {
  free.cpu_millis -= used.cpu_millis;
  free.memory_bytes -= used.memory_bytes;
  free.bandwidth_bps -= used.bandwidth_bps;
}

void give(wire::Resources& free, const wire::Resources& back) {
  free.cpu_millis += back.cpu_millis;
  free.memory_bytes += back.memory_bytes;
  free.bandwidth_bps += back.bandwidth_bps;
}

std::string described(const wire::Resources& resources) {
  return std::to_string(resources.cpu_millis) + " milli-cores, " +
         std::to_string(resources.memory_bytes) + " bytes of memory, " +
         std::to_string(resources.bandwidth_bps) + " bit/s";
}

}  // namespace

Market::Market(const Config& config, const KeyPair& key, const Clock& clock, Journal& journal,
               budget::ledger::Diary* diary)
    : config_(config), key_(key), clock_(clock), journal_(journal), diary_(diary) {}

Status Market::record(LeaseRecord lease) {
  // What is only reserved binds nobody yet; its confirmation brings it along.
  if (diary_ == nullptr || lease.role != "sold" || lease.state == "reserved" ||
      lease.state == "lapsed")
    return {};
  if (lease.lease.empty()) return {};  // nothing of it is signed
  std::vector<const json::Object*> signed_so_far{&lease.lease};
  for (const auto& document : lease.documents)
    if (document.is_object()) signed_so_far.push_back(&document.get_object());
  if (!lease.receipt.empty()) signed_so_far.push_back(&lease.receipt);
  const auto count = static_cast<std::int64_t>(signed_so_far.size());
  if (lease.recorded >= count) return {};
  for (auto i = lease.recorded; i < count; ++i) {
    ICON_TRY(const auto document,
             wire::parse_envelope(json::Value(*signed_so_far[static_cast<std::size_t>(i)])));
    ICON_CHECK(diary_->record(document, clock_.utc_ms()));
  }
  lease.recorded = count;
  return journal_.put_lease(lease);
}

Status Market::record_missed() {
  ICON_TRY(const auto leases, journal_.leases());
  for (const auto& lease : leases) try_to_record(lease);
  return {};
}

void Market::try_to_record(const LeaseRecord& lease) {
  if (const auto recorded = record(lease); !recorded)
    log::error("ledger.not_recorded", {{"lease", lease.lease_id},
                                       {"code", to_string(recorded.error().code)},
                                       {"message", recorded.error().message}});
}

Result<wire::Resources> Market::free(std::string_view for_icon) const {
  wire::Resources free = config_.capacity;
  if (set_aside_) take(free, set_aside_(for_icon));
  ICON_TRY(const auto leases, journal_.open_leases());
  for (const auto& lease : leases)
    if (holds_capacity(lease)) take(free, lease.resources);
  ICON_TRY(const auto icons, journal_.icons());
  for (const auto& icon : icons)
    if (icon.lease_id.empty() &&
        (icon.state == icon_state::kRunning || icon.state == icon_state::kStarting ||
         icon.state == icon_state::kMigrating))
      take(free, icon.spec.resources);
  ICON_TRY(const auto aside, slots_set_aside());
  for (std::int64_t i = 0; i < aside; ++i) take(free, config_.sealed_bids.resources);
  return free;
}

Result<wire::Envelope> Market::offer(const std::string& nonce, const wire::Resources& resources,
                                     std::int64_t slot_seconds, std::string_view icon) {
  if (!config_.accept_leases) return fail(Code::kRefused, "this host sells no slots");
  ICON_CHECK(check_open());
  if (slot_seconds < 1 || slot_seconds > wire::kSlotSecondsMax)
    return fail(Code::kInvalid, "slot_seconds is out of range");
  ICON_TRY(const auto room, free(icon));
  if (!room.covers(resources)) return fail(Code::kLimit, "no room: free are " + described(room));
  wire::Offer offer;
  offer.provider = key_.public_key();
  offer.provider_name = config_.provider_name;
  offer.country = config_.country;
  offer.kind = config_.kind;
  offer.nonce = nonce;
  offer.resources = resources;
  offer.slot_seconds = slot_seconds;
  ICON_TRY(offer.price_ucredits, config_.prices.price_of(resources, slot_seconds));
  offer.api = config_.api;
  offer.public_address = config_.public_address;
  offer.issued_ms = clock_.utc_ms();
  offer.expires_ms = offer.issued_ms + kOfferLifetime.count();
  // Reading it back applies the documents' own limits to what the caller asked for.
  ICON_CHECK(wire::Offer::from_json(offer.to_json()));
  return wire::seal(key_, offer);
}

Result<wire::Bid> Market::open_bid(const wire::Envelope& bid_envelope,
                                   const wire::Envelope& offer_envelope) const {
  if (!config_.accept_leases) return fail(Code::kRefused, "this host sells no slots");
  ICON_TRY(const auto bid, wire::open<wire::Bid>(bid_envelope));
  ICON_TRY(const auto offer, wire::open<wire::Offer>(offer_envelope));
  if (offer.provider != key_.public_key())
    return fail(Code::kUnauthenticated, "the offer is signed by " + short_id(offer.provider.id()) +
                                            ", not by this host, " + short_id(key_.id()));
  if (bid.provider != key_.public_key())
    return fail(Code::kInvalid, "the bid is for provider " + short_id(bid.provider.id()));
  if (bid.offer_digest != offer_envelope.digest())
    return fail(Code::kInvalid, "the bid names another offer");
  if (const auto sale = sale_of(offer_envelope); sale && sale->icon != bid.icon.id())
    return fail(Code::kRefused, "this slot was won by another ICON");
  return bid;
}

Status Market::check_room(const wire::Bid& bid, const wire::Envelope& offer_envelope) const {
  // Won in a sale that began before: that is kept to.
  if (!sale_of(offer_envelope)) ICON_CHECK(check_open());
  ICON_TRY(const auto offer, wire::Offer::from_json(offer_envelope.body));
  const UtcMillis now = clock_.utc_ms();
  ICON_CHECK(wire::check_times(offer.issued_ms, offer.expires_ms, now));
  ICON_CHECK(wire::check_times(bid.issued_ms, bid.expires_ms, now));
  if (bid.resources != offer.resources || bid.slot_seconds != offer.slot_seconds)
    return fail(Code::kInvalid, "the bid asks for another slot than the offer names");
  if (bid.price_ucredits != offer.price_ucredits)
    return fail(Code::kInvalid, "the bid pays " + std::to_string(bid.price_ucredits) +
                                    ", the offer asks " + std::to_string(offer.price_ucredits));
  ICON_TRY(const auto leases, journal_.open_leases());
  if (std::count_if(leases.begin(), leases.end(), holds_capacity) >=
      static_cast<std::ptrdiff_t>(kLeasesMax))
    return fail(Code::kLimit, "this host holds as many leases as it can");
  ICON_TRY(auto room, free(bid.icon.id()));
  ICON_TRY(const auto aside, slots_set_aside());
  if (sale_of(offer_envelope) && aside > 0) give(room, config_.sealed_bids.resources);
  if (!room.covers(bid.resources))
    return fail(Code::kLimit, "no room any more: free are " + described(room));
  return {};
}

Result<wire::Envelope> Market::sell(const wire::Envelope& bid_envelope,
                                    const wire::Envelope& offer_envelope) {
  ICON_TRY(const auto bid, open_bid(bid_envelope, offer_envelope));
  // The same bid again: its answer was lost on the way.
  const std::string bid_key = "bid/" + bid_envelope.digest();
  ICON_TRY(const auto earlier, journal_.value(bid_key));
  if (earlier) {
    ICON_TRY(const auto lease, journal_.find_lease(*earlier));
    if (lease && holds_capacity(*lease) && lease->state != "reserved")
      return wire::parse_envelope(json::Value(lease->lease));
    return fail(Code::kConflict, "the lease for this bid has been given back already");
  }
  ICON_CHECK(check_room(bid, offer_envelope));
  ICON_TRY(const auto offer, wire::Offer::from_json(offer_envelope.body));
  const UtcMillis now = clock_.utc_ms();
  wire::Lease lease;
  lease.lease_id = random_token(kLeaseIdBytes);
  lease.provider = key_.public_key();
  lease.bid = bid_envelope;
  lease.issued_ms = now;
  lease.start_ms = now;
  lease.expires_ms = now + bid.slot_seconds * 1000;
  ICON_TRY(auto envelope, wire::seal(key_, lease));
  LeaseRecord record{lease.lease_id,
                     bid.icon.id(),
                     key_.id(),
                     "sold",
                     "held",
                     bid.resources,
                     bid.slot_seconds,
                     bid.price_ucredits,
                     lease.start_ms,
                     lease.expires_ms,
                     envelope.to_json(),
                     {},
                     {},
                     0};
  // Offer used, bid answered, capacity taken: together or not at all.
  ICON_CHECK(journal_.transaction([&]() -> Status {
    ICON_CHECK(journal_.use_nonce("offer", offer_envelope.digest(), offer.expires_ms));
    ICON_CHECK(journal_.put_value(bid_key, record.lease_id));
    ICON_CHECK(note_taken(offer_envelope, record.lease_id));
    return journal_.put_lease(record);
  }));
  ICON_CHECK(this->record(record));
  return envelope;
}

Result<LeaseRecord> Market::usable_lease(const std::string& lease_id,
                                         const std::string& icon) const {
  ICON_TRY(const auto lease, journal_.find_lease(lease_id));
  if (!lease || lease->role != "sold")
    return fail(Code::kNotFound, "this host has sold no lease " + lease_id);
  if (lease->icon != icon)
    return fail(Code::kUnauthenticated, "lease " + lease_id + " belongs to another ICON");
  if (lease->state == "reserved")
    return fail(Code::kConflict, "lease " + lease_id + " is not confirmed");
  if (lease->state == "released")
    return fail(Code::kConflict, "lease " + lease_id + " has been given back");
  if (lease->state == "expired" || lease->expires_ms <= clock_.utc_ms())
    return fail(Code::kExpired, "the slot of lease " + lease_id + " is over");
  return *lease;
}

Status Market::activate(const std::string& lease_id) {
  return journal_.transaction([&]() -> Status {
    ICON_TRY(auto lease, journal_.find_lease(lease_id));
    if (!lease || lease->role != "sold")
      return fail(Code::kNotFound, "this host has sold no lease " + lease_id);
    if (lease->state == "active") return {};
    if (lease->state != "held")
      return fail(Code::kConflict, "lease " + lease_id + " is " + lease->state);
    lease->state = "active";
    const UtcMillis now = clock_.utc_ms();
    meters_[lease_id] = {now, now, 0, {}, {}};
    ICON_CHECK(journal_.put_value(active_since_key(lease_id), std::to_string(now)));
    return journal_.put_lease(*lease);
  });
}

Result<wire::Envelope> Market::close(LeaseRecord lease, std::string_view state) {
  ICON_TRY(const auto icon, PublicKey::from_id(lease.icon));
  const UtcMillis now = clock_.utc_ms();
  // After a restart nobody knows how long it served that was gone before it was looked at.
  if (meters_.contains(lease.lease_id))
    ICON_CHECK(add_usage(lease, std::min(now, lease.expires_ms)));
  ICON_TRY(const auto papers, papers_of(lease));
  ICON_TRY(const auto terms, terms_of(lease));
  const auto owed =
      budget::lease::penalty(terms, papers.segments, papers.metered_to_ms - papers.metered_from_ms);
  if (owed > 0) {
    ICON_TRY(const auto penalty,
             wire::seal(key_, wire::Penalty{key_.public_key(), icon, lease.lease_id,
                                            papers.previous, owed, now}));
    lease.documents.emplace_back(penalty.to_json());
  }
  wire::Receipt receipt;
  receipt.provider = key_.public_key();
  receipt.icon = icon;
  receipt.lease_id = lease.lease_id;
  for (const auto& segment : papers.segments)
    receipt.used_seconds += budget::lease::seconds_used(segment);
  receipt.charged_ucredits = budget::lease::charge(papers.segments);
  receipt.refunded_ucredits = budget::lease::price(papers.segments) - receipt.charged_ucredits;
  receipt.issued_ms = now;
  ICON_TRY(auto envelope, wire::seal(key_, receipt));
  lease.state = state;
  lease.receipt = envelope.to_json();
  ICON_CHECK(put_closed(lease));
  try_to_record(lease);  // a full disk must not keep a lease from its end
  return envelope;
}

// With what was noted only as long as it was open.
Status Market::put_closed(const LeaseRecord& lease) {
  ICON_CHECK(journal_.transaction([&]() -> Status {
    ICON_CHECK(journal_.remove_value(active_since_key(lease.lease_id)));
    ICON_CHECK(journal_.remove_value(presented_key(lease.lease_id)));
    return journal_.put_lease(lease);
  }));
  meters_.erase(lease.lease_id);
  return {};
}

Result<wire::Envelope> Market::release(const std::string& lease_id) {
  ICON_TRY(auto lease, journal_.find_lease(lease_id));
  if (!lease || lease->role != "sold")
    return fail(Code::kNotFound, "this host has sold no lease " + lease_id);
  if (lease->state == "reserved")
    return fail(Code::kConflict, "lease " + lease_id + " is not confirmed");
  if (!lease->receipt.empty()) return wire::parse_envelope(json::Value(lease->receipt));
  return close(std::move(*lease), "released");
}

Result<wire::Envelope> Market::give_back(const std::string& lease_id,
                                         const wire::Envelope& document) {
  ICON_TRY(const auto lease, journal_.find_lease(lease_id));
  if (!lease || lease->role != "sold")
    return fail(Code::kNotFound, "this host has sold no lease " + lease_id);
  if (lease->state == "reserved")
    return fail(Code::kConflict, "what is not confirmed lapses by itself");
  if (document.type == wire::Bid::kType) {
    ICON_TRY(const auto envelope, wire::parse_envelope(json::Value(lease->lease)));
    ICON_TRY(const auto body, wire::Lease::from_json(envelope.body));
    if (document.digest() != body.bid.digest())
      return fail(Code::kUnauthenticated, "this bid did not buy lease " + lease_id);
    ICON_CHECK(wire::open<wire::Bid>(document));
  } else {
    ICON_TRY(const auto order, wire::open<wire::MoveOrder>(document));
    if (order.lease_id != lease_id || order.icon.id() != lease->icon)
      return fail(Code::kUnauthenticated, "this order does not use lease " + lease_id);
  }
  if (lease->state == "active")
    return fail(Code::kConflict, "lease " + lease_id + " is in use: move or stop the ICON");
  return release(lease_id);
}

Result<std::vector<LeaseRecord>> Market::expire() {
  std::vector<LeaseRecord> were_active;
  const UtcMillis now = clock_.utc_ms();
  ICON_TRY(const auto leases, journal_.open_leases());
  for (const auto& lease : leases) {
    if (lease.expires_ms > now) break;  // ordered by their end
    if (lease.role == "bought") {
      LeaseRecord over = lease;
      over.state = "expired";
      ICON_CHECK(journal_.put_lease(over));
      continue;
    }
    if (lease.state == "reserved") {
      LeaseRecord lapsed = lease;
      lapsed.state = "lapsed";
      ICON_CHECK(journal_.put_lease(lapsed));
      continue;
    }
    if (lease.state == "active") {
      ICON_TRY(const auto terms, terms_of(lease));
      if (now < lease.expires_ms + terms.grace_ms) continue;
      were_active.push_back(lease);
    }
    if (const auto closed = close(lease, "expired"); !closed) {
      // It ends all the same, and so do the others.
      log::error("lease.no_receipt", {{"lease", lease.lease_id},
                                      {"code", to_string(closed.error().code)},
                                      {"message", closed.error().message}});
      LeaseRecord over = lease;
      over.state = "expired";
      ICON_CHECK(put_closed(over));
    }
  }
  ICON_CHECK(release_unclaimed(now));
  ICON_CHECK(journal_.forget_expired_nonces(now));
  ICON_CHECK(journal_.forget_closed_leases(now - kClosedLeasesKept.count()));
  return were_active;
}

Status Market::note_bought(const wire::Envelope& envelope, const wire::Envelope& bid_envelope) {
  ICON_TRY(const auto lease, wire::open<wire::Lease>(envelope));
  ICON_TRY(const auto bid, lease.verified_bid());
  if (lease.provider == key_.public_key())
    return fail(Code::kInvalid, "the lease was sold by this very host");
  if (lease.bid.digest() != bid_envelope.digest())
    return fail(Code::kInvalid, "the provider's lease is for another bid");
  // The id is the seller's choice: he must not overwrite what we have sold, or another bought.
  ICON_TRY(const auto known, journal_.find_lease(lease.lease_id));
  if (known && (known->role != "bought" || known->icon != bid.icon.id() ||
                known->provider != lease.provider.id()))
    return fail(Code::kConflict, "the provider's lease has the id of another lease of this host");
  ICON_TRY(const auto open, journal_.open_leases());
  const auto bought = std::count_if(open.begin(), open.end(), [&](const LeaseRecord& each) {
    return each.role == "bought" && each.icon == bid.icon.id();
  });
  if (!known && bought >= kBoughtPerIconMax)
    return fail(Code::kLimit, "this ICON has bought slots enough: let some of them end");
  LeaseRecord record{lease.lease_id,
                     bid.icon.id(),
                     lease.provider.id(),
                     "bought",
                     "active",
                     bid.resources,
                     bid.slot_seconds,
                     bid.price_ucredits,
                     lease.start_ms,
                     lease.expires_ms,
                     envelope.to_json(),
                     {},
                     {},
                     0};
  return journal_.put_lease(record);
}

}  // namespace icon::supervisor
