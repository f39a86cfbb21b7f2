// The agent's file of promises, which travels through hosts of strangers: whatever it says, what is
// read is bounded, can be worked with, and can be written and read again.
#include <boost/json/serialize.hpp>

#include "budget/promise_record.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::budget {
namespace {

constexpr UtcMillis kNow = 1'800'000'000'000;

void check_readable(const PromiseRecord& record) {
  const auto text = boost::json::serialize(record.to_json());
  ICON_FUZZ_REQUIRE(text.size() <= kRecordBytesMax);
  const auto object = json::parse_object(text, kRecordBytesMax);
  ICON_FUZZ_REQUIRE(object.has_value());
  const auto again = PromiseRecord::from_json(*object);
  ICON_FUZZ_REQUIRE(again.has_value());
  ICON_FUZZ_REQUIRE(boost::json::serialize(again->to_json()) == text);
}

void check_bounds(const PromiseRecord& record) {
  ICON_FUZZ_REQUIRE(record.providers().size() <= kRecordProvidersMax);
  for (const auto& [id, one] : record.providers()) {
    ICON_FUZZ_REQUIRE(one.delivered.size() <= kRecordPrefixesMax);
    const auto trust = record.trust(id, kNow);
    ICON_FUZZ_REQUIRE(trust >= 0 && trust <= kCertain);
  }
  ICON_FUZZ_REQUIRE(!record.here() || record.here()->prefixes.size() <= kRecordPrefixesMax);
}

// A stay as the agent lives it, from whatever was on record.
void live_on(PromiseRecord& record) {
  const HostUse use{5'000'000, 2'000'000, 1'000'000};
  record.passed(60'000, 1'000, use);
  record.paid(50'000);
  std::string here = "somebody";
  std::vector<PromisedPrefix> prefixes;
  if (record.here()) {
    here = record.here()->provider_id;
    prefixes = record.here()->prefixes;
  }
  for (const auto& prefix : prefixes)
    record.saw(here, "", prefix.prefix, std::int64_t{1} << 40, kNow);
  (void)record.judge({}, kNow + 1);
  Promise next;
  next.provider_id = "next";
  next.since_ms = kNow + 2;
  record.open(next);
  record.passed(60'000, 1'000, use);
  record.close(kNow + 3);
}

}  // namespace

ICON_FUZZ_TARGET(promise_record) {
  const auto object = json::parse_object(input, kRecordBytesMax);
  if (!object) return;
  auto record = PromiseRecord::from_json(*object);
  if (!record) return;
  check_bounds(*record);
  check_readable(*record);
  live_on(*record);
  check_bounds(*record);
  check_readable(*record);
}

}  // namespace icon::budget
