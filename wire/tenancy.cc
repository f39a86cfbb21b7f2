#include "wire/tenancy.h"

#include "wire/fields.h"

namespace icon::wire {
namespace {

constexpr std::int64_t kSpanMsMax = kSlotSecondsMax * 1000;
constexpr std::int64_t kCountMax = std::int64_t{1} << 50;
constexpr std::int64_t kTermSequenceMax = 1'000'000;
constexpr std::int64_t kPenaltyPermilleMax = 100'000;
constexpr std::size_t kReasonBytesMax = 512;

Result<Envelope> get_envelope(const json::Object& body, std::string_view key) {
  ICON_TRY(const auto* object, json::get_object(body, key));
  return parse_envelope(json::Value(*object));
}

}  // namespace

json::Object Reservation::to_json() const {
  return {{"provider", provider.id()},
          {"bid", bid.to_json()},
          {"issued_ms", issued_ms},
          {"confirm_until_ms", confirm_until_ms}};
}

Result<Reservation> Reservation::from_json(const json::Object& body) {
  Reservation reservation;
  ICON_TRY(reservation.provider, get_key(body, "provider"));
  ICON_TRY(reservation.bid, get_envelope(body, "bid"));
  ICON_TRY(reservation.issued_ms, get_time(body, "issued_ms"));
  ICON_TRY(reservation.confirm_until_ms, get_time(body, "confirm_until_ms"));
  return reservation;
}

json::Object Confirmation::to_json() const {
  return {
      {"icon", icon.id()}, {"reservation_digest", reservation_digest}, {"issued_ms", issued_ms}};
}

Result<Confirmation> Confirmation::from_json(const json::Object& body) {
  Confirmation confirmation;
  ICON_TRY(confirmation.icon, get_key(body, "icon"));
  ICON_TRY(confirmation.reservation_digest, get_digest(body, "reservation_digest"));
  ICON_TRY(confirmation.issued_ms, get_time(body, "issued_ms"));
  return confirmation;
}

json::Object LeaseTerms::to_json() const {
  json::Object body{{"provider", provider.id()},
                    {"lease_id", lease_id},
                    {"served_permille", served_permille},
                    {"penalty_permille", penalty_permille},
                    {"renew_before_ms", renew_before_ms},
                    {"grace_ms", grace_ms},
                    {"issued_ms", issued_ms}};
  if (start_within_ms > 0) body["start_within_ms"] = start_within_ms;
  return body;
}

Result<LeaseTerms> LeaseTerms::from_json(const json::Object& body) {
  LeaseTerms terms;
  ICON_TRY(terms.provider, get_key(body, "provider"));
  ICON_TRY(terms.lease_id, get_token(body, "lease_id"));
  ICON_TRY(terms.served_permille, json::get_int(body, "served_permille", 0, 1000));
  ICON_TRY(terms.penalty_permille, json::get_int(body, "penalty_permille", 0, kPenaltyPermilleMax));
  ICON_TRY(terms.renew_before_ms, json::get_int(body, "renew_before_ms", 0, kSpanMsMax));
  ICON_TRY(terms.grace_ms, json::get_int(body, "grace_ms", 0, kSpanMsMax));
  ICON_TRY(terms.issued_ms, get_time(body, "issued_ms"));
  ICON_TRY(terms.start_within_ms, json::get_int_or(body, "start_within_ms", 0, 0, kSpanMsMax));
  return terms;
}

json::Object Renewal::to_json() const {
  return {{"icon", icon.id()},      {"provider", provider.id()}, {"lease_id", lease_id},
          {"sequence", sequence},   {"seconds", seconds},        {"price_ucredits", price_ucredits},
          {"issued_ms", issued_ms}, {"expires_ms", expires_ms}};
}

Result<Renewal> Renewal::from_json(const json::Object& body) {
  Renewal renewal;
  ICON_TRY(renewal.icon, get_key(body, "icon"));
  ICON_TRY(renewal.provider, get_key(body, "provider"));
  ICON_TRY(renewal.lease_id, get_token(body, "lease_id"));
  ICON_TRY(renewal.sequence, json::get_int(body, "sequence", 1, kTermSequenceMax));
  ICON_TRY(renewal.seconds, json::get_int(body, "seconds", 1, kSlotSecondsMax));
  ICON_TRY(renewal.price_ucredits, get_money(body, "price_ucredits"));
  ICON_CHECK(read_times(body, renewal));
  return renewal;
}

json::Object RenewedLease::to_json() const {
  return {{"provider", provider.id()},
          {"renewal", renewal.to_json()},
          {"issued_ms", issued_ms},
          {"expires_ms", expires_ms}};
}

Result<RenewedLease> RenewedLease::from_json(const json::Object& body) {
  RenewedLease renewed;
  ICON_TRY(renewed.provider, get_key(body, "provider"));
  ICON_TRY(renewed.renewal, get_envelope(body, "renewal"));
  ICON_CHECK(read_times(body, renewed));
  return renewed;
}

json::Object Usage::to_json() const {
  return {{"provider", provider.id()},
          {"icon", icon.id()},
          {"lease_id", lease_id},
          {"sequence", sequence},
          {"previous", previous},
          {"from_ms", from_ms},
          {"to_ms", to_ms},
          {"served_ms", served_ms},
          {"cpu_ms", cpu_ms},
          {"memory_bytes_max", memory_bytes_max},
          {"sent_bytes", sent_bytes},
          {"received_bytes", received_bytes},
          {"total_ucredits", total_ucredits},
          {"issued_ms", issued_ms}};
}

Result<Usage> Usage::from_json(const json::Object& body) {
  Usage usage;
  ICON_TRY(usage.provider, get_key(body, "provider"));
  ICON_TRY(usage.icon, get_key(body, "icon"));
  ICON_TRY(usage.lease_id, get_token(body, "lease_id"));
  ICON_TRY(usage.sequence, json::get_int(body, "sequence", 1, kTermSequenceMax));
  ICON_TRY(usage.previous, get_digest(body, "previous"));
  ICON_TRY(usage.from_ms, get_time(body, "from_ms"));
  ICON_TRY(usage.to_ms, get_time(body, "to_ms"));
  ICON_TRY(usage.served_ms, json::get_int(body, "served_ms", 0, kSpanMsMax));
  if (usage.to_ms <= usage.from_ms || usage.served_ms > usage.to_ms - usage.from_ms)
    return fail(Code::kInvalid, "usage: more time was served than passed");
  ICON_TRY(usage.cpu_ms, json::get_int(body, "cpu_ms", 0, kCountMax));
  ICON_TRY(usage.memory_bytes_max, json::get_int(body, "memory_bytes_max", 0, kCountMax));
  ICON_TRY(usage.sent_bytes, json::get_int(body, "sent_bytes", 0, kCountMax));
  ICON_TRY(usage.received_bytes, json::get_int(body, "received_bytes", 0, kCountMax));
  ICON_TRY(usage.total_ucredits, get_money(body, "total_ucredits"));
  ICON_TRY(usage.issued_ms, get_time(body, "issued_ms"));
  return usage;
}

json::Object Penalty::to_json() const {
  return {{"provider", provider.id()},
          {"icon", icon.id()},
          {"lease_id", lease_id},
          {"usage_digest", usage_digest},
          {"amount_ucredits", amount_ucredits},
          {"issued_ms", issued_ms}};
}

Result<Penalty> Penalty::from_json(const json::Object& body) {
  Penalty penalty;
  ICON_TRY(penalty.provider, get_key(body, "provider"));
  ICON_TRY(penalty.icon, get_key(body, "icon"));
  ICON_TRY(penalty.lease_id, get_token(body, "lease_id"));
  ICON_TRY(penalty.usage_digest, get_digest(body, "usage_digest"));
  ICON_TRY(penalty.amount_ucredits, get_money(body, "amount_ucredits"));
  ICON_TRY(penalty.issued_ms, get_time(body, "issued_ms"));
  return penalty;
}

json::Object Dispute::to_json() const {
  return {{"icon", icon.id()},
          {"provider", provider.id()},
          {"lease_id", lease_id},
          {"document_digest", document_digest},
          {"reason", reason},
          {"charged_seconds", charged_seconds},
          {"present_seconds", present_seconds},
          {"issued_ms", issued_ms}};
}

Result<Dispute> Dispute::from_json(const json::Object& body) {
  Dispute dispute;
  ICON_TRY(dispute.icon, get_key(body, "icon"));
  ICON_TRY(dispute.provider, get_key(body, "provider"));
  ICON_TRY(dispute.lease_id, get_token(body, "lease_id"));
  ICON_TRY(dispute.document_digest, get_digest(body, "document_digest"));
  ICON_TRY(dispute.reason, json::get_string(body, "reason", kReasonBytesMax));
  ICON_TRY(dispute.charged_seconds, json::get_int(body, "charged_seconds", 0, kCountMax));
  ICON_TRY(dispute.present_seconds, json::get_int(body, "present_seconds", 0, kCountMax));
  ICON_TRY(dispute.issued_ms, get_time(body, "issued_ms"));
  return dispute;
}

}  // namespace icon::wire
