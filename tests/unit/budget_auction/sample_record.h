// A whole double auction in documents: 3 buyers and 3 sellers who reveal, one who keeps silent.
#pragma once

#include <vector>

#include "base/encoding.h"
#include "budget/auction/record.h"

namespace icon::budget::auction {

struct SampleRecord {
  KeyPair auctioneer = KeyPair::generate();
  Seed secret = blake2b("the auctioneer's part");
  std::vector<KeyPair> parties;
  std::vector<wire::AuctionBid> bids;
  std::vector<std::string> bid_digests;
  wire::Envelope call;
  std::vector<wire::Envelope> commits;
  std::vector<wire::Envelope> documents;  // everything; the outcome last
  UtcMillis opened_ms = 1'700'000'000'000;
  UtcMillis closed_ms = opened_ms + 60'000;
  UtcMillis settled_ms = opened_ms + 120'000;
};

inline SampleRecord make_sample_record() {
  SampleRecord sample;
  wire::AuctionCall call;
  call.auctioneer = sample.auctioneer.public_key();
  call.nonce = "sample";
  call.rule = wire::AuctionCall::Rule::kDouble;
  call.resources = {500, 256 << 20, 10'000'000};
  call.slot_seconds = 3600;
  call.deposit_ucredits = 1'000;
  call.seed_commitment = seed_commitment(sample.secret);
  call.issued_ms = sample.opened_ms;
  call.commit_until_ms = sample.closed_ms;
  call.reveal_until_ms = sample.settled_ms;
  call.expires_ms = sample.settled_ms + 60'000;
  sample.call = *wire::seal(sample.auctioneer, call);
  const auto auction = sample.call.digest();

  std::vector<wire::Envelope> revealed;
  for (const MicroCredits price : {90'000, 80'000, 10'000, 20'000, 30'000, 70'000, 5}) {
    const auto index = sample.parties.size();
    sample.parties.push_back(KeyPair::generate());
    const auto& key = sample.parties.back();
    sample.bids.push_back({auction, key.public_key(),
                           index < 3 ? wire::AuctionBid::Side::kBuy : wire::AuctionBid::Side::kSell,
                           call.resources, 3'600'000LL * 480'000, 3600, price, random_token(16)});
    revealed.push_back(*wire::seal(key, sample.bids.back()));
    sample.bid_digests.push_back(revealed.back().digest());
    sample.commits.push_back(
        *wire::seal(key, wire::AuctionCommit{auction, key.public_key(), sample.bid_digests.back(),
                                             sample.opened_ms}));
  }
  const auto close = *close_auction(sample.auctioneer, sample.call, sample.commits, sample.secret,
                                    sample.closed_ms);
  sample.documents = sample.commits;
  sample.documents.push_back(sample.call);
  sample.documents.push_back(close);
  for (std::size_t i = 0; i + 1 < revealed.size(); ++i) {  // the last one keeps silent
    sample.documents.push_back(revealed[i]);
    sample.documents.push_back(*wire::seal(
        sample.auctioneer, wire::AuctionAck{auction, sample.auctioneer.public_key(),
                                            sample.bid_digests[i], sample.closed_ms + 5}));
  }
  sample.documents.push_back(
      *settle_auction(sample.auctioneer, sample.documents, sample.settled_ms));
  return sample;
}

}  // namespace icon::budget::auction
