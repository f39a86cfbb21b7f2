// The brake of a host's operator: nothing new comes.
#include <algorithm>
#include <boost/json/serialize.hpp>
#include <limits>

#include "supervisor/market.h"

namespace icon::supervisor {
namespace {

constexpr const char* kCordonKey = "cordon";
constexpr std::size_t kCordonBytesMax = 1024;

}  // namespace

Status Market::cordon(const std::string& reason) {
  const bool printable =
      std::all_of(reason.begin(), reason.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
  if (!printable || reason.size() > kCordonReasonBytesMax)
    return fail(Code::kInvalid, "the reason must be at most " +
                                    std::to_string(kCordonReasonBytesMax) +
                                    " printable characters");
  ICON_TRY(const auto before, cordoned());
  const json::Object kept{{"since_ms", before ? before->since_ms : clock_.utc_ms()},
                          {"reason", reason}};
  return journal_.put_value(kCordonKey, boost::json::serialize(kept));
}

Status Market::uncordon() { return journal_.remove_value(kCordonKey); }

Result<std::optional<Market::Cordon>> Market::cordoned() const {
  ICON_TRY(const auto text, journal_.value(kCordonKey));
  if (!text) return std::optional<Cordon>();
  ICON_TRY(const auto kept, json::parse_object(*text, kCordonBytesMax, json::kOwnDepthMax));
  Cordon cordon;
  ICON_TRY(cordon.since_ms,
           json::get_int(kept, "since_ms", 0, std::numeric_limits<std::int64_t>::max()));
  ICON_TRY(cordon.reason, json::get_string(kept, "reason", kCordonReasonBytesMax));
  return std::optional<Cordon>(std::move(cordon));
}

Status Market::check_open() const {
  ICON_TRY(const auto cordon, cordoned());
  if (!cordon) return {};
  return fail(Code::kRefused, "this host is cordoned and takes nothing new" +
                                  (cordon->reason.empty() ? "" : ": " + cordon->reason));
}

}  // namespace icon::supervisor
