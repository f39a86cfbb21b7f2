// How far users are from a provider, by its own word: an ICON asks for the round trips to addresses
// that it names, and the provider answers with its signature, which it can be held to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "wire/documents.h"

namespace icon::wire {

inline constexpr std::size_t kPingTargetsMax = 32;
inline constexpr std::int64_t kPingRttUsMax = 60'000'000;

// Signed by the ICON that wants to know, for one provider.
struct PingRequest {
  static constexpr std::string_view kType = "ping_request";
  PublicKey icon;
  PublicKey provider;
  std::vector<Address> targets;  // 1 to kPingTargetsMax, each once
  std::string nonce;
  UtcMillis issued_ms = 0;
  UtcMillis expires_ms = 0;

  json::Object to_json() const;
  static Result<PingRequest> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return icon; }
};

struct PingFigure {
  Address target;
  std::optional<std::int64_t> rtt_us;  // the smallest; absent: silent, or not asked
  std::int64_t answers = 0;            // of the packets sent
  std::string refused;                 // why it was not asked; empty when it was
};

struct PingReport {
  static constexpr std::string_view kType = "ping_report";
  PublicKey provider;
  std::string request_digest;
  std::vector<PingFigure> figures;  // in the order of the request
  UtcMillis issued_ms = 0;
  UtcMillis expires_ms = 0;

  json::Object to_json() const;
  static Result<PingReport> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return provider; }
};

}  // namespace icon::wire
