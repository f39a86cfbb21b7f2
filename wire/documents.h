// The documents that bind strangers: offer, bid, lease, order, commit, receipt. Each is a struct
// with to_json/from_json; open<T>() verifies an envelope and reads it. Money: integer
// micro-credits. Times: UTC milliseconds. Sizes: bytes. from_json checks ranges: a struct that came
// out of it holds nothing absurd.
#pragma once

#include <cstdint>
#include <string>

#include "base/address.h"
#include "wire/envelope.h"

namespace icon::wire {

using MicroCredits = std::int64_t;
inline constexpr MicroCredits kMicroCreditsMax = 1'000'000'000'000'000;
inline constexpr std::int64_t kSlotSecondsMax = 366LL * 24 * 3600;

// What a slot holds or an ICON needs.
struct Resources {
  std::int64_t cpu_millis = 0;  // 1000 = one core
  std::int64_t memory_bytes = 0;
  std::int64_t bandwidth_bps = 0;

  bool covers(const Resources& need) const {
    return cpu_millis >= need.cpu_millis && memory_bytes >= need.memory_bytes &&
           bandwidth_bps >= need.bandwidth_bps;
  }
  json::Object to_json() const;
  static Result<Resources> from_json(const json::Object& object);
  bool operator==(const Resources&) const = default;
};

// Provider -> agent: this slot, for this long, at this price. Signed by the provider.
struct Offer {
  static constexpr std::string_view kType = "offer";
  PublicKey provider;
  std::string provider_name;
  std::string country, kind;  // its claims (wire/residence.h); empty: it makes none
  std::string nonce;          // the asker's: proves freshness
  Resources resources;
  std::int64_t slot_seconds = 0;
  MicroCredits price_ucredits = 0;  // for the whole slot
  Endpoint api;                     // where the provider's supervisor speaks TLS
  Address public_address;           // what users dial
  UtcMillis issued_ms = 0;
  UtcMillis expires_ms = 0;

  json::Object to_json() const;
  static Result<Offer> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return provider; }
};

// Agent -> provider: I take that offer. Signed by the ICON.
struct Bid {
  static constexpr std::string_view kType = "bid";
  PublicKey icon;
  PublicKey provider;
  std::string offer_digest;
  Resources resources;
  std::int64_t slot_seconds = 0;
  MicroCredits price_ucredits = 0;
  std::int64_t epoch = 0;  // the epoch that would run there
  std::string nonce;
  UtcMillis issued_ms = 0;
  UtcMillis expires_ms = 0;

  json::Object to_json() const;
  static Result<Bid> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return icon; }
};

// Signed by the provider around the ICON's signed bid: both are bound, anyone can verify offline.
struct Lease {
  static constexpr std::string_view kType = "lease";
  std::string lease_id;
  PublicKey provider;
  Envelope bid;
  UtcMillis issued_ms = 0;
  UtcMillis start_ms = 0;
  UtcMillis expires_ms = 0;  // the end of the slot

  json::Object to_json() const;
  static Result<Lease> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return provider; }
  // The bid inside, verified, and consistent with the lease. Errors: kUnauthenticated, kInvalid.
  Result<Bid> verified_bid() const;
};

// The ICON's order to move: what entitles the source to give it away and the destination to run it.
struct MoveOrder {
  static constexpr std::string_view kType = "order";
  PublicKey icon;
  std::string migration_id;  // random, chosen by the agent
  std::int64_t epoch = 0;    // the new one: current + 1
  PublicKey from;            // supervisors
  PublicKey to;
  std::string lease_id;
  std::string redirect;  // "forward" or "redirect": what the stub does with new connections
  std::string reason;    // "latency", "operator", ...
  UtcMillis issued_ms = 0;
  UtcMillis expires_ms = 0;

  json::Object to_json() const;
  static Result<MoveOrder> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return icon; }
};

// Source supervisor -> destination: the source has journalled that epoch `epoch` runs at `to`.
struct Commit {
  static constexpr std::string_view kType = "commit";
  PublicKey icon;
  std::string migration_id;
  std::int64_t epoch = 0;
  PublicKey from;
  PublicKey to;
  UtcMillis issued_ms = 0;
  UtcMillis expires_ms = 0;

  json::Object to_json() const;
  static Result<Commit> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return from; }
};

// What a checkpoint consists of: the source signs it, the destination checks every file against it
// before CRIU parses a byte.
struct Manifest {
  static constexpr std::string_view kType = "manifest";
  PublicKey icon;
  std::string migration_id;
  std::int64_t epoch = 0;
  PublicKey from;
  PublicKey to;
  json::Object files;   // name -> "size:blake2b-256 hex"
  json::Array removed;  // paths of the writable layer that were staged and are gone since
  UtcMillis issued_ms = 0;
  UtcMillis expires_ms = 0;

  json::Object to_json() const;
  static Result<Manifest> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return from; }
};

// Provider -> ICON when a lease ends: what was used, what it costs, what goes back.
struct Receipt {
  static constexpr std::string_view kType = "receipt";
  PublicKey provider;
  PublicKey icon;
  std::string lease_id;
  std::int64_t used_seconds = 0;
  MicroCredits charged_ucredits = 0;
  MicroCredits refunded_ucredits = 0;
  UtcMillis issued_ms = 0;

  json::Object to_json() const;
  static Result<Receipt> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return provider; }
};

template <class Document>
Result<Envelope> seal(const KeyPair& key, const Document& document) {
  return seal(key, std::string(Document::kType), document.to_json());
}

// Verifies type and signature, reads the body, checks that the signer is the one the body names.
// Times are not checked: see check_times. Errors: kUnauthenticated, kInvalid, kLimit.
template <class Document>
Result<Document> open(const Envelope& envelope) {
  ICON_CHECK(verify(envelope, Document::kType));
  ICON_TRY(Document document, Document::from_json(envelope.body));
  ICON_CHECK(check_surplus(envelope.body, document.to_json()));
  if (document.must_be_signed_by() != envelope.signer)
    return fail(Code::kUnauthenticated, std::string(Document::kType) + " is signed by " +
                                            short_id(envelope.signer.id()) + ", not by " +
                                            short_id(document.must_be_signed_by().id()));
  return document;
}

}  // namespace icon::wire
