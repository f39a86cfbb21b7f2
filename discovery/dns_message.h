// DNS answers from strangers' zones: bytes -> records, bounded. Pure; the fuzzers call it directly.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace icon::discovery {

enum class RecordType : std::uint16_t { kA = 1, kPtr = 12, kTxt = 16, kAaaa = 28, kSrv = 33 };
std::string_view to_string(RecordType type);

inline constexpr std::size_t kAddressRecordsMax = 16;
inline constexpr std::size_t kPtrRecordsMax = 4;
inline constexpr std::size_t kSrvRecordsMax = 16;
inline constexpr std::size_t kTxtRecordsMax = 16;
inline constexpr std::size_t kTxtBytesMax = 4096;  // of all TXT records of one answer together
inline constexpr std::size_t kAnswerRecordsMax = 2048;
inline constexpr int kCnameDepthMax = 8;
inline constexpr std::size_t kNameBytesMax = 253;

struct SrvRecord {
  std::uint16_t priority = 0;
  std::uint16_t weight = 0;
  std::uint16_t port = 0;
  std::string target;  // normalised; empty for ".": the service is decidedly not there
  auto operator<=>(const SrvRecord&) const = default;
};

// What is known about the signatures over an answer. Bogus ones are no answer at all.
enum class Dnssec : std::uint8_t {
  kUnchecked,  // nobody looked, or the server hands on no signatures
  kInsecure,   // the zone is not signed, and its parents prove that
  kSecure,
};
std::string_view to_string(Dnssec dnssec);

// What a name holds. No records at all (NXDOMAIN, NODATA) is an answer, not an error.
struct Answer {
  std::vector<Address> addresses;  // A, AAAA
  std::vector<std::string> names;  // PTR, normalised
  std::vector<SrvRecord> srv;
  std::vector<std::string> texts;  // one per TXT record; its strings joined by a space
  std::uint32_t ttl_s = 0;         // the smallest on the way; from the SOA when there is nothing
  Dnssec dnssec = Dnssec::kUnchecked;
  std::vector<std::string> cut;  // what was left out and why; at most one line per reason

  bool empty() const { return addresses.empty() && names.empty() && srv.empty() && texts.empty(); }
};

// Lower case, no trailing dot, labels of 1 to 63 letters, digits, '-' and '_', at most 253
// characters. Errors: kInvalid.
Result<std::string> normalise_name(std::string_view name);

// "4.3.2.1.in-addr.arpa", "...ip6.arpa".
std::string reverse_name(const Address& address);

// The records of `type` that belong to `name` (normalised), CNAMEs followed inside the message.
// Errors: kInvalid (malformed, or the answer to another question), kRefused, kIo (server failure).
Result<Answer> parse_answer(std::span<const std::uint8_t> message, std::string_view name,
                            RecordType type);

}  // namespace icon::discovery
