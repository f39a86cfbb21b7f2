#include "budget/lease/phase.h"

namespace icon::budget::lease {

Phase phase_of(const Times& times, UtcMillis now_ms) {
  if (!times.confirmed) return now_ms < times.confirm_until_ms ? Phase::kReserved : Phase::kLapsed;
  if (now_ms < times.start_ms) return Phase::kWaiting;
  if (now_ms < times.expires_ms - times.renew_before_ms) return Phase::kRunning;
  if (now_ms < times.expires_ms) return Phase::kLastTerm;
  return now_ms < times.expires_ms + times.grace_ms ? Phase::kGrace : Phase::kOver;
}

Status check_confirmation(const wire::Envelope& reservation, const wire::Envelope& confirmation,
                          UtcMillis now_ms) {
  ICON_TRY(const auto reserved, wire::open<wire::Reservation>(reservation));
  ICON_TRY(const auto bid, wire::open<wire::Bid>(reserved.bid));
  if (bid.provider != reserved.provider)
    return fail(Code::kUnauthenticated, "reservation: the bid inside was made to another provider");
  ICON_TRY(const auto confirmed, wire::open<wire::Confirmation>(confirmation));
  if (confirmed.icon != bid.icon)
    return fail(Code::kUnauthenticated, "confirmation: by another than the bidder");
  if (confirmed.reservation_digest != reservation.digest())
    return fail(Code::kInvalid, "confirmation: of another reservation");
  if (now_ms >= reserved.confirm_until_ms)
    return fail(Code::kExpired, "confirmation: the slot is no longer locked");
  return {};
}

Result<UtcMillis> check_renewal(const Party& party, const Times& times,
                                const wire::Envelope& envelope, UtcMillis now_ms) {
  ICON_TRY(const auto renewal, wire::open<wire::Renewal>(envelope));
  if (renewal.icon != party.icon || renewal.provider != party.provider ||
      renewal.lease_id != party.lease_id)
    return fail(Code::kUnauthenticated, "renewal: of another lease");
  if (renewal.sequence != party.renewals + 1)
    return fail(Code::kConflict, "renewal: number " + std::to_string(renewal.sequence) +
                                     " does not follow " + std::to_string(party.renewals));
  ICON_CHECK(wire::check_times(renewal.issued_ms, renewal.expires_ms, now_ms));
  const auto phase = phase_of(times, now_ms);
  if (phase != Phase::kRunning && phase != Phase::kWaiting)
    return fail(Code::kExpired, "renewal: it had to be asked for earlier");
  return times.expires_ms + renewal.seconds * 1000;
}

}  // namespace icon::budget::lease
