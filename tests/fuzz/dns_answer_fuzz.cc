// A DNS message from a stranger's zone, asked for as each type: bounded whatever it says.
#include "discovery/dns_message.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::discovery {

ICON_FUZZ_TARGET(dns_answer) {
  const std::span<const std::uint8_t> bytes(reinterpret_cast<const std::uint8_t*>(input.data()),
                                            input.size());
  for (const auto type :
       {RecordType::kA, RecordType::kAaaa, RecordType::kPtr, RecordType::kSrv, RecordType::kTxt}) {
    const auto answer = parse_answer(bytes, "_icon._tcp.edge.test", type);
    if (!answer) continue;
    ICON_FUZZ_REQUIRE(answer->addresses.size() <= kAddressRecordsMax);
    ICON_FUZZ_REQUIRE(answer->names.size() <= kPtrRecordsMax);
    ICON_FUZZ_REQUIRE(answer->srv.size() <= kSrvRecordsMax);
    ICON_FUZZ_REQUIRE(answer->texts.size() <= kTxtRecordsMax);
    for (const auto& name : answer->names) ICON_FUZZ_REQUIRE(*normalise_name(name) == name);
    for (const auto& record : answer->srv)
      ICON_FUZZ_REQUIRE(record.target.empty() || *normalise_name(record.target) == record.target);
  }
  if (const auto name = normalise_name(input)) ICON_FUZZ_REQUIRE(*normalise_name(*name) == *name);
}

}  // namespace icon::discovery
