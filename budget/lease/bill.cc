#include "budget/lease/bill.h"

#include <algorithm>

namespace icon::budget::lease {
namespace {

__extension__ using Wide = __int128;

}  // namespace

std::int64_t seconds_used(const Segment& segment) {
  return std::min((segment.served_ms + 999) / 1000, segment.seconds);
}

MicroCredits charge(const Segment& segment) {
  const auto used = seconds_used(segment);
  return static_cast<MicroCredits>((Wide(segment.price) * used + segment.seconds - 1) /
                                   segment.seconds);
}

MicroCredits charge(const std::vector<Segment>& segments) {
  MicroCredits sum = 0;
  for (const auto& segment : segments) sum += charge(segment);
  return sum;
}

MicroCredits price(const std::vector<Segment>& segments) {
  MicroCredits sum = 0;
  for (const auto& segment : segments) sum += segment.price;
  return sum;
}

MicroCredits penalty(const wire::LeaseTerms& terms, const std::vector<Segment>& segments,
                     std::int64_t metered_ms) {
  std::int64_t served_ms = 0;
  std::int64_t slot_ms = 0;
  for (const auto& segment : segments) {
    served_ms += segment.served_ms;
    slot_ms += segment.seconds * 1000;
  }
  const auto promised_ms =
      static_cast<std::int64_t>(Wide(metered_ms) * terms.served_permille / 1000);
  const auto short_ms = promised_ms - served_ms;
  if (short_ms <= 0 || slot_ms <= 0) return 0;
  // At most 10^18 * 2^45 * 10^5: fits 128 bits.
  const auto owed =
      Wide(price(segments)) * short_ms * terms.penalty_permille / (Wide(slot_ms) * 1000);
  return static_cast<MicroCredits>(std::min<Wide>(owed, charge(segments)));
}

UseBounds use_bounds(const wire::Resources& slot, std::int64_t span_ms) {
  constexpr auto kNone = std::int64_t{1} << 50;  // the most that the document takes
  const auto over_span = [&](std::int64_t per_second) {
    return per_second == 0 ? kNone
                           : static_cast<std::int64_t>(
                                 std::min<Wide>(Wide(per_second) * span_ms / 1000, kNone));
  };
  return {
      over_span(slot.cpu_millis), slot.memory_bytes == 0 ? kNone : slot.memory_bytes,
      over_span(slot.bandwidth_bps == 0 ? 0 : std::max<std::int64_t>(slot.bandwidth_bps / 8, 1))};
}

}  // namespace icon::budget::lease
