#include "budget/auction/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/encoding.h"

namespace icon::budget::auction {
namespace {

using wire::AuctionAck;
using wire::AuctionBid;
using wire::AuctionCall;
using wire::AuctionClose;
using wire::AuctionCommit;
using wire::AuctionOutcome;
using wire::Envelope;

// The documents, verified and sorted out; by digest, so that a repeated one is one.
struct Papers {
  std::map<std::string, AuctionCall> calls;
  std::map<std::string, AuctionCommit> commits;
  std::map<std::string, AuctionClose> closes;
  std::map<std::string, AuctionBid> bids;
  std::map<std::string, AuctionAck> acks;
  std::map<std::string, AuctionOutcome> outcomes;
};

tl::unexpected<Error> wrong(const std::string& what) {
  return fail(Code::kInvalid, "auction: " + what);
}

template <class Document>
Status take(const Envelope& envelope, std::map<std::string, Document>& into) {
  ICON_TRY(auto document, wire::open<Document>(envelope));
  into.insert_or_assign(envelope.digest(), std::move(document));
  return {};
}

Status sort_out(const Envelope& envelope, Papers& papers) {
  if (envelope.type == AuctionCall::kType) return take(envelope, papers.calls);
  if (envelope.type == AuctionCommit::kType) return take(envelope, papers.commits);
  if (envelope.type == AuctionClose::kType) return take(envelope, papers.closes);
  if (envelope.type == AuctionBid::kType) return take(envelope, papers.bids);
  if (envelope.type == AuctionAck::kType) return take(envelope, papers.acks);
  if (envelope.type == AuctionOutcome::kType) return take(envelope, papers.outcomes);
  return wrong("a '" + envelope.type + "' does not belong here");
}

Result<Papers> sort_out(const std::vector<Envelope>& documents) {
  if (documents.size() > kRecordDocumentsMax)
    return fail(Code::kLimit, "auction: more documents than one auction can have");
  Papers papers;
  for (const auto& envelope : documents) ICON_CHECK(sort_out(envelope, papers));
  if (papers.calls.size() != 1)
    return wrong(fmt::format("{} calls in one record, not one", papers.calls.size()));
  return papers;
}

Result<Seed> read_seed(const std::string& hex) {
  ICON_TRY(const auto bytes, hex_decode(hex, Seed{}.size()));
  Seed seed{};
  if (bytes.size() != seed.size()) return wrong("the seed's secret has another size");
  std::copy(bytes.begin(), bytes.end(), seed.begin());
  return seed;
}

std::string digest_of(const std::map<std::string, AuctionCommit>& commits) {
  std::string text;
  for (const auto& [digest, commit] : commits) text += digest + '\n';
  return blake2b_hex(text);
}

Status check_commits(const std::string& auction, const AuctionCall& call,
                     const std::map<std::string, AuctionCommit>& commits) {
  if (static_cast<std::int64_t>(commits.size()) > wire::kAuctionPartiesMax)
    return fail(Code::kLimit, "auction: too many commits");
  std::set<PublicKey> parties;
  for (const auto& [digest, commit] : commits) {
    if (commit.auction != auction) return wrong("a commit belongs to another auction");
    if (!parties.insert(commit.party).second)
      return fail(Code::kConflict,
                  "auction: " + short_id(commit.party.id()) + " has committed twice");
    if (commit.issued_ms >= call.commit_until_ms)
      return fail(Code::kExpired,
                  "auction: " + short_id(commit.party.id()) + " has committed too late");
  }
  return {};
}

Status check_close(const std::string& auction, const AuctionCall& call, const AuctionClose& close,
                   const std::map<std::string, AuctionCommit>& commits) {
  if (close.auction != auction || close.auctioneer != call.auctioneer)
    return wrong("the close belongs to another auction");
  if (close.issued_ms < call.commit_until_ms || close.issued_ms >= call.reveal_until_ms)
    return wrong("it was closed at another time than its call says");
  if (close.commits != static_cast<std::int64_t>(commits.size()))
    return wrong(fmt::format("the close counts {} commits, the record holds {}", close.commits,
                             commits.size()));
  if (close.commits_digest != digest_of(commits))
    return wrong("the close counts other commits than the record holds");
  ICON_TRY(const auto secret, read_seed(close.seed_secret));
  if (seed_commitment(secret) != call.seed_commitment)
    return wrong("the seed's secret is not what the call promised");
  return {};
}

// The bids that count, and who kept silent.
struct Revealed {
  std::vector<AuctionBid> bids;
  std::vector<PublicKey> silent;
};

Result<Revealed> reveal(const std::string& auction, const AuctionCall& call,
                        const AuctionClose& close, const Papers& papers) {
  std::set<std::string> acknowledged;
  for (const auto& [digest, ack] : papers.acks) {
    if (ack.auction != auction || ack.auctioneer != call.auctioneer)
      return wrong("an acknowledgement belongs to another auction");
    if (ack.received_ms < close.issued_ms || ack.received_ms >= call.reveal_until_ms)
      return wrong("a bid was acknowledged outside of the time for reveals");
    acknowledged.insert(ack.bid_digest);
  }
  Revealed revealed;
  for (const auto& [digest, commit] : papers.commits) {
    if (acknowledged.erase(commit.bid_digest) == 0) {
      revealed.silent.push_back(commit.party);
      continue;
    }
    const auto bid = papers.bids.find(commit.bid_digest);
    if (bid == papers.bids.end())
      return wrong("the bid of " + short_id(commit.party.id()) +
                   " was acknowledged, but is not in the record");
    if (bid->second.party != commit.party || bid->second.auction != auction)
      return wrong("a bid is not its committer's, or belongs to another auction");
    revealed.bids.push_back(bid->second);
  }
  if (!acknowledged.empty()) return wrong("a bid was acknowledged that nobody had committed to");
  return revealed;
}

Status check_outcome(const std::string& close_digest, const Conclusion& found) {
  const auto& outcome = *found.outcome;
  if (outcome.close_digest != close_digest || outcome.auctioneer != found.call.auctioneer)
    return wrong("the outcome belongs to another auction");
  if (outcome.issued_ms < found.call.reveal_until_ms && found.bids != found.commits)
    return wrong("it was settled before everybody could reveal");
  if (outcome.issued_ms >= found.call.expires_ms)
    return wrong("it was settled after its call had expired: nobody owes anything");
  if (outcome.clearing_digest != found.clearing.digest() ||
      outcome.trades != static_cast<std::int64_t>(found.clearing.trades()))
    return wrong("the signed outcome is not what follows from the documents");
  return {};
}

}  // namespace

std::string seed_commitment(const Seed& secret) {
  return blake2b_hex("icon auction secret\n" + hex_encode(secret));
}

Seed seed_of(const std::string& call_digest, const std::string& commits_digest,
             const Seed& secret) {
  return blake2b("icon auction seed\n" + call_digest + '\n' + commits_digest + '\n' +
                 hex_encode(secret));
}

Result<Envelope> close_auction(const KeyPair& auctioneer, const Envelope& call,
                               const std::vector<Envelope>& commits, const Seed& secret,
                               UtcMillis now_ms) {
  std::vector<Envelope> documents = commits;
  documents.push_back(call);
  ICON_TRY(const auto papers, sort_out(documents));
  const auto& [auction, opened] = *papers.calls.begin();
  ICON_CHECK(check_commits(auction, opened, papers.commits));
  const AuctionClose close{auction,
                           auctioneer.public_key(),
                           digest_of(papers.commits),
                           static_cast<std::int64_t>(papers.commits.size()),
                           hex_encode(secret),
                           now_ms};
  ICON_CHECK(check_close(auction, opened, close, papers.commits));
  return wire::seal(auctioneer, close);
}

Result<Conclusion> conclude(const std::vector<Envelope>& documents) {
  ICON_TRY(const auto papers, sort_out(documents));
  const auto& [auction, call] = *papers.calls.begin();
  if (papers.closes.size() != 1)
    return wrong(fmt::format("{} closes in one record, not one", papers.closes.size()));
  const auto& [close_digest, close] = *papers.closes.begin();
  ICON_CHECK(check_commits(auction, call, papers.commits));
  ICON_CHECK(check_close(auction, call, close, papers.commits));
  ICON_TRY(auto revealed, reveal(auction, call, close, papers));
  ICON_TRY(const auto secret, read_seed(close.seed_secret));
  Conclusion found;
  found.call = call;
  found.close = close;
  found.seed = seed_of(auction, close.commits_digest, secret);
  found.commits = close.commits;
  found.bids = static_cast<std::int64_t>(revealed.bids.size());
  found.clearing = clear(call, found.seed, revealed.bids, std::move(revealed.silent));
  if (papers.outcomes.size() > 1)
    return fail(Code::kConflict, "auction: its auctioneer has signed two outcomes");
  if (!papers.outcomes.empty()) {
    found.outcome = papers.outcomes.begin()->second;
    if (found.outcome->auction != auction) return wrong("the outcome belongs to another auction");
    ICON_CHECK(check_outcome(close_digest, found));
  }
  return found;
}

Result<Envelope> settle_auction(const KeyPair& auctioneer, const std::vector<Envelope>& documents,
                                UtcMillis now_ms) {
  ICON_TRY(auto found, conclude(documents));
  if (found.outcome) return fail(Code::kConflict, "auction: it has an outcome already");
  if (found.call.auctioneer != auctioneer.public_key())
    return fail(Code::kUnauthenticated, "auction: only its auctioneer signs the outcome");
  if (now_ms < found.call.reveal_until_ms && found.bids != found.commits)
    return fail(Code::kConflict, "auction: there is still time to reveal");
  if (now_ms >= found.call.expires_ms)
    return fail(Code::kExpired, "auction: its call has expired without an outcome");
  std::string close_digest;
  for (const auto& envelope : documents)
    if (envelope.type == AuctionClose::kType) close_digest = envelope.digest();
  return wire::seal(auctioneer,
                    AuctionOutcome{found.close.auction, auctioneer.public_key(), close_digest,
                                   found.clearing.digest(),
                                   static_cast<std::int64_t>(found.clearing.trades()), now_ms});
}

}  // namespace icon::budget::auction
