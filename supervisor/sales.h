// Sealed bids at this host: a sale is called, parties commit to bids and reveal them. Of this
// host's own scarce slots the highest bids win at one price (budget/auction/uniform_price.h); in an
// exchange that it conducts ICONs meet the slots of several providers (budget/auction/sbba.h), each
// of which makes good for its own trades (supervisor/asks.h). Every document is in the journal
// before it leaves; whoever asks gets them all and computes the outcome again. Owned by Host. Loop
// thread only; no waiting inside.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/keys.h"
#include "base/result.h"
#include "supervisor/config.h"
#include "supervisor/journal.h"
#include "supervisor/market.h"
#include "wire/auction.h"

namespace icon::supervisor {

class Sales {
 public:
  static constexpr std::size_t kPartiesMax = 128;     // of one sale
  static constexpr std::size_t kPartiesPerHost = 16;  // that commit through one host
  static constexpr std::size_t kKept = 16;            // the newest sales
  static constexpr Millis kOutcomeWithin{60'000};     // after the reveals, or the sale is void
  static constexpr Millis kClaimWithin{60'000};       // a slot that was won and not taken is free

  // All outlive the Sales; `diary` may be absent.
  Sales(const Config& config, const KeyPair& key, const Clock& clock, Journal& journal,
        Market& market, budget::ledger::Diary* diary = nullptr);
  // What the journal holds. Errors: kInvalid, kIo.
  Status load();

  // About once a second: calls, closes, concludes. Errors: of the journal.
  Status tick();

  // {"sale","state","call"} of each, the newest last.
  json::Array list() const;
  // All documents of a sale. While bids may still be committed to, only its call: who else bids is
  // nobody's business. Errors: kNotFound.
  Result<json::Array> documents(const std::string& sale) const;
  // `host`: through whom it came. The same again changes nothing. Errors: kNotFound, kExpired (too
  // late), kConflict (another commit by this party), kLimit, kUnauthenticated, kRefused (a host
  // that is none of the exchange's sellers).
  Status commit(const wire::Envelope& commit, const std::string& host);
  // A signed wire::AuctionAck; the same again, the same one. Errors: kNotFound (no commit to it),
  // kConflict (too early), kExpired, kUnauthenticated, kRefused (who may not sell here sells).
  Result<wire::Envelope> reveal(const wire::Envelope& bid);
  // A signed wire::Offer at the sale's price, to be reserved by `icon` alone. Errors: kNotFound
  // (also of an exchange: its sellers have the slots), kConflict (no outcome yet), kRefused (it did
  // not win, or had its slot), kExpired.
  Result<wire::Envelope> claim(const std::string& sale, const std::string& icon);

 private:
  enum class State { kOpen, kRevealing, kOver, kVoid };
  struct Sale {
    State state = State::kOpen;
    wire::AuctionCall call;
    std::string secret_hex;  // of the seed, until the close
    std::vector<wire::Envelope> documents;
    std::map<std::string, std::string> commits;  // party -> digest of its bid
    std::map<std::string, std::string> acks;     // digest of a bid -> its acknowledgement, index
    std::map<std::string, std::size_t> hosts;    // how many commits came through each
    wire::MicroCredits price = 0;
    std::size_t trades = 0;
    std::vector<std::string> winners;           // of our own slots
    std::map<std::string, std::string> offers;  // winner -> its offer, as JSON
  };
  static std::string_view name_of(State state);
  Status call_own(UtcMillis now_ms);
  Status call_exchange(UtcMillis now_ms);
  Status put_call(wire::AuctionCall call, std::int64_t bid_ms, std::int64_t reveal_ms);
  bool is_seller(const PublicKey& party) const;
  Status close(const std::string& id, Sale& sale);
  Status conclude(const std::string& id, Sale& sale);
  Status put(const std::string& id, const Sale& sale);
  Status add(const std::string& id, Sale& sale, const wire::Envelope& document);
  Result<Sale> read(const std::string& id) const;
  static Status take_up(const wire::Envelope& document, Sale& sale);
  void record(const Sale& sale);
  std::int64_t unclaimed() const;

  const Config& config_;
  const KeyPair& key_;
  const Clock& clock_;
  Journal& journal_;
  Market& market_;
  budget::ledger::Diary* diary_;
  std::vector<std::pair<std::string, Sale>> sales_;  // by the digest of the call, oldest first
  std::map<wire::AuctionCall::Rule, UtcMillis> called_ms_;
};

}  // namespace icon::supervisor
