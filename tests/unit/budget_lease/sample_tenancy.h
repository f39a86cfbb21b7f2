// A lease of 1,000 s for 1,000,000 micro-credits, renewed once by 500 s for as much, metered.
#pragma once

#include <vector>

#include "budget/lease/record.h"

namespace icon::budget::lease {

class SampleTenancy {
 public:
  static constexpr UtcMillis kStart = 1'700'000'000'000;
  static constexpr MicroCredits kPrice = 1'000'000;

  KeyPair provider = KeyPair::generate();
  KeyPair icon = KeyPair::generate();
  std::vector<wire::Envelope> documents;

  SampleTenancy() {
    wire::Bid bid;
    bid.icon = icon.public_key();
    bid.provider = provider.public_key();
    bid.offer_digest = "0a";
    bid.resources = {500, 256 << 20, 10'000'000};
    bid.slot_seconds = 1'000;
    bid.price_ucredits = kPrice;
    bid.epoch = 1;
    bid.nonce = "n";
    bid.issued_ms = kStart;
    bid.expires_ms = kStart + 60'000;
    bid_ = *wire::seal(icon, bid);
    add(wire::seal(provider, wire::Lease{"lease-1", provider.public_key(), bid_, kStart, kStart,
                                         kStart + 1'000'000}));
    previous_ = documents.back().digest();
  }

  const wire::Envelope& bid() const { return bid_; }
  const wire::Envelope& lease() const { return documents.front(); }
  // 99 % promised, twice the price of what is missing, renewals 100 s ahead.
  void terms() {
    add(wire::seal(provider, wire::LeaseTerms{provider.public_key(), "lease-1", 990, 2'000, 100'000,
                                              60'000, kStart}));
  }
  wire::Renewal renewal(std::int64_t sequence, UtcMillis at_ms) const {
    return {icon.public_key(), provider.public_key(),  "lease-1", sequence, 500, kPrice,
            kStart + at_ms,    kStart + at_ms + 30'000};
  }
  void renew(const wire::Renewal& renewal, UtcMillis end_ms) {
    add(wire::seal(provider, wire::RenewedLease{provider.public_key(), *wire::seal(icon, renewal),
                                                renewal.issued_ms, kStart + end_ms}));
  }
  wire::Usage usage(UtcMillis from_ms, UtcMillis to_ms, std::int64_t served_ms,
                    MicroCredits total) {
    wire::Usage made;
    made.provider = provider.public_key();
    made.icon = icon.public_key();
    made.lease_id = "lease-1";
    made.sequence = ++usages_;
    made.previous = previous_;
    made.from_ms = kStart + from_ms;
    made.to_ms = kStart + to_ms;
    made.served_ms = served_ms;
    made.total_ucredits = total;
    made.issued_ms = made.to_ms;
    return made;
  }
  void meter(UtcMillis from_ms, UtcMillis to_ms, std::int64_t served_ms, MicroCredits total) {
    add(wire::seal(provider, usage(from_ms, to_ms, served_ms, total)));
    previous_ = documents.back().digest();
  }
  void receipt(std::int64_t seconds, MicroCredits charged, MicroCredits refunded) {
    add(wire::seal(provider, wire::Receipt{provider.public_key(), icon.public_key(), "lease-1",
                                           seconds, charged, refunded, kStart + 2'000'000}));
  }
  void penalty(MicroCredits amount) {
    add(wire::seal(provider, wire::Penalty{provider.public_key(), icon.public_key(), "lease-1",
                                           previous_, amount, kStart + 2'000'000}));
  }

 private:
  void add(Result<wire::Envelope> document) { documents.push_back(std::move(*document)); }

  wire::Envelope bid_;
  std::string previous_;
  std::int64_t usages_ = 0;
};

}  // namespace icon::budget::lease
