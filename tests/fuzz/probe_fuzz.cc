// What the kernel says about a probe, in three parts: an answer or nothing.
#include "discovery/probe.h"
#include "tests/fuzz/byte_source.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::discovery {
namespace {

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

ICON_FUZZ_TARGET(probe) {
  fuzz::ByteSource source(input);
  const std::string name = source.text(128);
  const std::string control = source.text(200);
  const std::string payload = source.text(64);
  const RawMessage message{bytes_of(name), bytes_of(control), bytes_of(payload)};
  for (const bool v6 : {false, true}) {
    for (const auto kind : {ProbeKind::kUdp, ProbeKind::kPing})
      if (const auto reply = parse_error_message(kind, v6, message); reply && reply->tag)
        ICON_FUZZ_REQUIRE(reply->tag->ttl >= 1 && reply->tag->ttl <= kTtlMax &&
                          reply->tag->attempt <= kAttemptsMax && reply->tag->flow < kFlowsMax &&
                          reply->back_hops >= 0 && reply->back_hops <= 127);
    (void)parse_echo_reply(v6, message);
  }
}

}  // namespace icon::discovery
