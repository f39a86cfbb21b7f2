// What hosts of one provider sign among themselves, so that a handover finds its place prepared:
// contracts for room that is kept, an ICON's word that it may be prepared for, and what that cost.
#pragma once

#include <string>

#include "wire/documents.h"

namespace icon::wire {

inline constexpr std::int64_t kContractSecondsMax = 24 * 3600;
inline constexpr std::int64_t kStandbysMax = 256;
inline constexpr std::int64_t kStagedBytesMax = std::int64_t{32} << 30;

// Host -> sibling: keep so much for ICONs of mine, until then.
struct ContinuityProposal {
  static constexpr std::string_view kType = "continuity_proposal";
  PublicKey from;
  PublicKey to;
  std::int64_t sequence = 0;  // 1, 2, 3, ... between these two: a renewal is the next one
  Resources resources;        // of all standbys together
  std::int64_t standbys_max = 0;
  std::int64_t staged_bytes_max = 0;
  UtcMillis issued_ms = 0;
  UtcMillis expires_ms = 0;  // of the contract

  json::Object to_json() const;
  static Result<ContinuityProposal> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return from; }
};

// The sibling's yes around it, as a lease is around a bid.
struct ContinuityContract {
  static constexpr std::string_view kType = "continuity_contract";
  PublicKey provider;
  Envelope proposal;
  Resources resources;  // at most what was asked for: a smaller host gives less
  UtcMillis issued_ms = 0;
  UtcMillis expires_ms = 0;

  json::Object to_json() const;
  static Result<ContinuityContract> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return provider; }
  // What holds: the proposal with the resources that are given. Errors: kUnauthenticated, kInvalid
  // (the two do not belong together, or it gives more or lasts longer than was asked for).
  Result<ContinuityProposal> verified_proposal() const;
};

// ICON -> both hosts: I may be prepared for there. It moves nobody and costs the ICON nothing.
struct StandbyOrder {
  static constexpr std::string_view kType = "standby_order";
  PublicKey icon;
  std::string standby_id;
  std::int64_t epoch = 0;  // that runs now
  PublicKey from;
  PublicKey to;
  UtcMillis issued_ms = 0;
  UtcMillis expires_ms = 0;

  json::Object to_json() const;
  static Result<StandbyOrder> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return icon; }
};

// At the end of a standby: how long it was kept, and what that would have cost a stranger.
struct StandbyReceipt {
  static constexpr std::string_view kType = "standby_receipt";
  PublicKey provider;
  PublicKey holder;
  PublicKey icon;
  std::string standby_id;
  std::string end;  // "used", "released", "expired", "lost"
  Resources resources;
  std::int64_t kept_ms = 0;
  std::int64_t staged_bytes = 0;
  MicroCredits price_ucredits = 0;
  UtcMillis issued_ms = 0;

  json::Object to_json() const;
  static Result<StandbyReceipt> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return provider; }
};

}  // namespace icon::wire
