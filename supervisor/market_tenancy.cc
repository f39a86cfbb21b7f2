// From the locked slot to the last bill: reservation, confirmation, renewal, metered usage.
#include <algorithm>

#include "base/encoding.h"
#include "base/log.h"
#include "budget/lease/phase.h"
#include "supervisor/market.h"
#include "supervisor/market_rules.h"

namespace icon::supervisor {
namespace {

namespace lease_rules = budget::lease;

// What we promise with every lease.
constexpr std::int64_t kServedPermille = 990;
constexpr std::int64_t kPenaltyPermille = 1'000;
constexpr std::int64_t kRenewBeforeMsMax = 60'000;
constexpr std::int64_t kGraceMsMax = 30'000;
constexpr std::int64_t kStartWithinMsMax = 120'000;
constexpr std::int64_t kUsageEveryMsMin = 60'000;
constexpr std::int64_t kUsagesPerLengthMax = 8;
constexpr std::int64_t kRenewalsMax = 128;  // of one lease: its papers are one row

std::string reservation_key(const std::string& digest) { return "reservation/" + digest; }

template <class Document>
std::optional<Document> last_of(const LeaseRecord& record) {
  std::optional<Document> last;
  for (const auto& value : record.documents) {
    const auto envelope = wire::parse_envelope(value);
    if (!envelope || envelope->type != Document::kType) continue;
    if (auto document = Document::from_json(envelope->body)) last = std::move(*document);
  }
  return last;
}

std::int64_t start_within_ms(std::int64_t slot_ms) {
  return std::min(kStartWithinMsMax, slot_ms / 2);
}

wire::LeaseTerms terms_for(const PublicKey& provider, const LeaseRecord& record, UtcMillis now_ms) {
  const auto slot_ms = record.slot_seconds * 1000;
  return {provider,
          record.lease_id,
          kServedPermille,
          kPenaltyPermille,
          std::min(kRenewBeforeMsMax, slot_ms / 4),
          std::min(kGraceMsMax, slot_ms / 4),
          now_ms,
          start_within_ms(slot_ms)};
}

// What is new since the last usage, at most what the slot can give in that time.
void report_use(const Consumption& used, const wire::Resources& slot, Consumption& reported,
                wire::Usage& usage) {
  const auto most = lease_rules::use_bounds(slot, usage.to_ms - usage.from_ms);
  const auto part = [](std::int64_t now, std::int64_t before, std::int64_t limit) {
    return std::min(std::max<std::int64_t>(now - before, 0), limit);
  };
  usage.cpu_ms = part(used.cpu_us / 1000, reported.cpu_us / 1000, most.cpu_ms);
  usage.sent_bytes = part(used.sent_bytes, reported.sent_bytes, most.bytes_each_way);
  usage.received_bytes = part(used.received_bytes, reported.received_bytes, most.bytes_each_way);
  usage.memory_bytes_max = std::min(used.memory_bytes_max, most.memory_bytes);
  reported.cpu_us += usage.cpu_ms * 1000;
  reported.sent_bytes += usage.sent_bytes;
  reported.received_bytes += usage.received_bytes;
}

}  // namespace

Result<Papers> papers_of(const LeaseRecord& record) {
  if (record.lease.empty()) {  // nothing of it is signed: the row alone tells
    Papers papers;
    papers.expires_ms = record.expires_ms;
    papers.segments.push_back({record.start_ms, record.slot_seconds, record.price_ucredits, 0});
    return papers;
  }
  ICON_TRY(const auto envelope, wire::parse_envelope(json::Value(record.lease)));
  ICON_TRY(const auto lease, wire::Lease::from_json(envelope.body));
  ICON_TRY(const auto bid, wire::Bid::from_json(lease.bid.body));
  Papers papers;
  papers.previous = envelope.digest();
  papers.expires_ms = lease.expires_ms;
  papers.segments.push_back({lease.start_ms, bid.slot_seconds, bid.price_ucredits, 0});
  for (const auto& value : record.documents) {
    ICON_TRY(const auto document, wire::parse_envelope(value));
    if (document.type == wire::RenewedLease::kType) {
      ICON_TRY(const auto renewed, wire::RenewedLease::from_json(document.body));
      ICON_TRY(const auto asked, wire::Renewal::from_json(renewed.renewal.body));
      papers.segments.push_back({papers.expires_ms, asked.seconds, asked.price_ucredits, 0});
      papers.expires_ms = renewed.expires_ms;
      ++papers.renewals;
    } else if (document.type == wire::Usage::kType) {
      ICON_TRY(const auto usage, wire::Usage::from_json(document.body));
      for (auto& segment : papers.segments)
        if (usage.from_ms >= segment.start_ms && usage.to_ms <= segment.end_ms())
          segment.served_ms += usage.served_ms;
      if (papers.usages == 0) papers.metered_from_ms = usage.from_ms;
      papers.metered_to_ms = usage.to_ms;
      papers.previous = document.digest();
      papers.usages = usage.sequence;
    }
  }
  return papers;
}

Result<wire::Envelope> Market::reserve(const wire::Envelope& bid_envelope,
                                       const wire::Envelope& offer_envelope) {
  ICON_TRY(const auto bid, open_bid(bid_envelope, offer_envelope));
  const std::string bid_key = "bid/" + bid_envelope.digest();
  ICON_TRY(const auto earlier, journal_.value(bid_key));
  if (earlier) {
    ICON_TRY(const auto record, journal_.find_lease(*earlier));
    if (record && record->state == "reserved")
      return wire::parse_envelope(json::Value(record->lease));
    return fail(Code::kConflict, "this bid was answered before");
  }
  ICON_CHECK(check_room(bid, offer_envelope));
  ICON_TRY(const auto leases, journal_.open_leases());
  const auto of_icon = std::count_if(leases.begin(), leases.end(), [&](const LeaseRecord& lease) {
    return lease.state == "reserved" && lease.icon == bid.icon.id();
  });
  if (of_icon >= kReservationsPerIconMax)
    return fail(Code::kLimit, "this ICON has reservations enough; confirm one or let them lapse");

  const UtcMillis now = clock_.utc_ms();
  const wire::Reservation reservation{key_.public_key(), bid_envelope, now,
                                      now + kConfirmWithin.count()};
  ICON_TRY(auto envelope, wire::seal(key_, reservation));
  LeaseRecord record;
  record.lease_id = random_token(kLeaseIdBytes);
  record.icon = bid.icon.id();
  record.provider = key_.id();
  record.role = "sold";
  record.state = "reserved";
  record.resources = bid.resources;
  record.slot_seconds = bid.slot_seconds;
  record.price_ucredits = bid.price_ucredits;
  record.start_ms = now;
  record.expires_ms = reservation.confirm_until_ms;
  record.lease = envelope.to_json();
  ICON_TRY(const auto offer, wire::Offer::from_json(offer_envelope.body));
  ICON_CHECK(journal_.transaction([&]() -> Status {
    ICON_CHECK(journal_.use_nonce("offer", offer_envelope.digest(), offer.expires_ms));
    ICON_CHECK(journal_.put_value(bid_key, record.lease_id));
    ICON_CHECK(note_taken(offer_envelope, record.lease_id));
    ICON_CHECK(journal_.put_value(reservation_key(envelope.digest()), record.lease_id));
    return journal_.put_lease(record);
  }));
  return envelope;
}

Result<SoldLease> Market::confirm(const wire::Envelope& reservation,
                                  const wire::Envelope& confirmation) {
  ICON_TRY(const auto lease_id, journal_.value(reservation_key(reservation.digest())));
  if (!lease_id) return fail(Code::kNotFound, "no such reservation; it may have lapsed");
  ICON_TRY(auto found, journal_.find_lease(*lease_id));
  if (!found) return fail(Code::kNotFound, "no such reservation; it may have lapsed");
  auto& record = *found;
  if (record.state != "reserved") {
    if (!holds_capacity(record)) return fail(Code::kConflict, "this lease is " + record.state);
    ICON_CHECK(wire::verify(confirmation, wire::Confirmation::kType));
    ICON_CHECK(this->record(record));
    return sold(record);  // its answer was lost
  }
  const UtcMillis now = clock_.utc_ms();
  ICON_CHECK(lease_rules::check_confirmation(reservation, confirmation, now));
  ICON_TRY(const auto body, wire::Reservation::from_json(reservation.body));
  const wire::Lease lease{
      record.lease_id, key_.public_key(), body.bid, now, now, now + record.slot_seconds * 1000};
  ICON_TRY(const auto envelope, wire::seal(key_, lease));
  ICON_TRY(const auto terms, wire::seal(key_, terms_for(key_.public_key(), record, now)));
  record.state = "held";
  record.start_ms = lease.start_ms;
  record.expires_ms = lease.expires_ms;
  record.lease = envelope.to_json();
  record.documents = {reservation.to_json(), confirmation.to_json(), terms.to_json()};
  ICON_CHECK(journal_.put_lease(record));
  ICON_CHECK(this->record(record));
  return SoldLease{envelope, terms};
}

Result<SoldLease> Market::sold(const LeaseRecord& record) const {
  SoldLease answer;
  ICON_TRY(answer.lease, wire::parse_envelope(json::Value(record.lease)));
  for (const auto& value : record.documents) {
    ICON_TRY(auto document, wire::parse_envelope(value));
    if (document.type == wire::LeaseTerms::kType) answer.terms = std::move(document);
  }
  return answer;
}

Result<wire::Envelope> Market::renew(const wire::Envelope& asked) {
  ICON_TRY(const auto renewal, wire::open<wire::Renewal>(asked));
  ICON_TRY(auto record, usable_lease(renewal.lease_id, renewal.icon.id()));
  for (const auto& value : record.documents) {
    ICON_TRY(auto document, wire::parse_envelope(value));
    if (document.type != wire::RenewedLease::kType) continue;
    ICON_TRY(const auto renewed, wire::RenewedLease::from_json(document.body));
    if (renewed.renewal.digest() == asked.digest()) return document;
  }
  ICON_TRY(const auto papers, papers_of(record));
  if (papers.renewals >= kRenewalsMax) return fail(Code::kLimit, "renewed too often: buy a slot");
  const auto terms = last_of<wire::LeaseTerms>(record).value_or(wire::LeaseTerms{});
  const UtcMillis now = clock_.utc_ms();
  ICON_TRY(const auto end,
           lease_rules::check_renewal(
               {key_.public_key(), renewal.icon, record.lease_id, papers.renewals},
               {true, 0, record.start_ms, record.expires_ms, terms.renew_before_ms, terms.grace_ms},
               asked, now));
  ICON_TRY(const auto price, config_.prices.price_of(record.resources, renewal.seconds));
  if (renewal.price_ucredits < price)
    return fail(Code::kRefused, "this time costs " + std::to_string(price) + " now");
  ICON_TRY(auto envelope, wire::seal(key_, wire::RenewedLease{key_.public_key(), asked, now, end}));
  record.documents.emplace_back(envelope.to_json());
  record.expires_ms = end;
  record.price_ucredits += renewal.price_ucredits;
  ICON_CHECK(journal_.put_lease(record));
  ICON_CHECK(this->record(std::move(record)));
  return envelope;
}

Result<json::Array> Market::documents(const std::string& lease_id) const {
  ICON_TRY(const auto record, journal_.find_lease(lease_id));
  if (!record || record->role != "sold" || record->state == "reserved")
    return fail(Code::kNotFound, "this host has sold no lease " + lease_id);
  json::Array documents{record->lease};
  for (const auto& document : record->documents) documents.push_back(document);
  if (!record->receipt.empty()) documents.emplace_back(record->receipt);
  return documents;
}

Status Market::present(const std::string& lease_id, const std::string& icon) {
  ICON_TRY(const auto lease, usable_lease(lease_id, icon));
  return journal_.put_value(presented_key(lease.lease_id), lease.icon);
}

// Its buyer has died, or thought better of it, and nobody told us.
Status Market::release_unclaimed(UtcMillis now_ms) {
  ICON_TRY(const auto leases, journal_.open_leases());
  for (const auto& lease : leases) {
    if (lease.role != "sold" || lease.state != "held") continue;
    ICON_TRY(const auto terms, terms_of(lease));
    // One that was sold in one step has none: the same holds, or a bid locks the host for a year.
    const auto within = terms.start_within_ms > 0 ? terms.start_within_ms
                                                  : start_within_ms(lease.slot_seconds * 1000);
    if (now_ms < lease.start_ms + within) continue;
    ICON_TRY(const auto presented, journal_.value(presented_key(lease.lease_id)));
    if (presented) continue;
    if (const auto receipt = close(lease, "released"); receipt)
      log::info("lease.unclaimed", {{"lease", lease.lease_id}, {"receipt", receipt->digest()}});
    else  // the others are looked at all the same
      log::error("lease.no_receipt", {{"lease", lease.lease_id},
                                      {"code", to_string(receipt.error().code)},
                                      {"message", receipt.error().message}});
  }
  return {};
}

Result<wire::LeaseTerms> Market::terms_of(const LeaseRecord& record) const {
  return last_of<wire::LeaseTerms>(record).value_or(wire::LeaseTerms{});
}

Status Market::add_usage(LeaseRecord& record, UtcMillis to_ms) {
  ICON_TRY(const auto since, journal_.value(active_since_key(record.lease_id)));
  if (!since) return {};
  ICON_TRY(auto papers, papers_of(record));
  ICON_TRY(const auto icon, PublicKey::from_id(record.icon));
  auto& meter = meters_[record.lease_id];
  UtcMillis from_ms = papers.usages > 0 ? papers.metered_to_ms : std::stoll(*since);
  for (auto& segment : papers.segments) {
    const UtcMillis end_ms = std::min(to_ms, segment.end_ms());
    from_ms = std::max(from_ms, segment.start_ms);
    if (end_ms <= from_ms) continue;
    const UtcMillis missing_ms = std::min(meter.missing_ms, end_ms - from_ms);
    meter.missing_ms -= missing_ms;
    segment.served_ms += end_ms - from_ms - missing_ms;
    wire::Usage usage;
    usage.provider = key_.public_key();
    usage.icon = icon;
    usage.lease_id = record.lease_id;
    usage.sequence = ++papers.usages;
    usage.previous = papers.previous;
    usage.from_ms = from_ms;
    usage.to_ms = end_ms;
    usage.served_ms = end_ms - from_ms - missing_ms;
    report_use(meter.used, record.resources, meter.reported, usage);
    usage.total_ucredits = lease_rules::charge(papers.segments);
    usage.issued_ms = clock_.utc_ms();
    ICON_TRY(const auto envelope, wire::seal(key_, usage));
    papers.previous = envelope.digest();
    record.documents.emplace_back(envelope.to_json());
    from_ms = end_ms;
  }
  meter.reported = meter.used;  // beyond what the slot gives nothing is counted
  return {};
}

Status Market::meter(const std::function<Sight(const std::string& icon)>& look) {
  const UtcMillis now = clock_.utc_ms();
  ICON_TRY(const auto leases, journal_.open_leases());
  for (const auto& lease : leases) {
    if (lease.role != "sold" || lease.state != "active") continue;
    auto& meter = meters_[lease.lease_id];
    const auto sight = look(lease.icon);
    if (meter.seen_ms == 0) {  // taken up after a restart: the same process
      meter.seen_ms = meter.usage_ms = now;
      meter.reported = sight.used;
    }
    if (!sight.serves) meter.missing_ms += now - meter.seen_ms;
    meter.seen_ms = now;
    if (sight.serves) meter.used = sight.used;
    const auto every_ms =
        std::max(kUsageEveryMsMin, (lease.expires_ms - lease.start_ms) / kUsagesPerLengthMax);
    if (now - meter.usage_ms < every_ms) continue;
    meter.usage_ms = now;
    auto record = lease;
    ICON_CHECK(add_usage(record, std::min(now, lease.expires_ms)));
    ICON_CHECK(journal_.put_lease(record));
    ICON_CHECK(this->record(std::move(record)));
  }
  return {};
}

}  // namespace icon::supervisor
