// This host's slots in somebody's exchange (a double auction, supervisor/sales.h): it commits to an
// ask, reveals it, checks the outcome with everybody's documents, and gives the ICON that it has to
// serve an offer at the exchange's price. One ask at a time, of one slot: its place among the asks
// is this host's key. Every document is in the journal before it leaves. Owned by Host. Loop thread
// only; no waiting inside: supervisor/ask_errands.h carries it.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/keys.h"
#include "base/result.h"
#include "budget/auction/record.h"
#include "budget/ledger/diary.h"
#include "supervisor/config.h"
#include "supervisor/journal.h"
#include "supervisor/market.h"
#include "wire/auction.h"

namespace icon::supervisor {

class Asks {
 public:
  static constexpr std::size_t kTradesKept = 64;  // the newest
  static constexpr Millis kClaimWithin{60'000};   // of the outcome; then the slot is free again

  // All outlive the Asks; `diary` may be absent.
  Asks(const Config& config, const KeyPair& key, const Clock& clock, Journal& journal,
       Market& market, budget::ledger::Diary* diary = nullptr);
  // What the journal holds. Errors: kInvalid, kIo.
  Status load();

  enum class Errand { kNone, kFind, kCommit, kReveal, kDocuments };
  // What is to be done at the exchange now; ends what has become too late.
  Result<Errand> next();
  const std::string& sale() const { return live_.sale; }
  const wire::Envelope& commit() const { return live_.commit; }
  const wire::Envelope& bid() const { return live_.bid; }

  // What the exchange answered. Errors: of the journal.
  Status on_call(const wire::Envelope& call);  // kInvalid, kUnauthenticated too: not one for us
  Status on_commit(const Status& answer);
  Status on_reveal(const Result<wire::Envelope>& ack);
  Status on_documents(std::vector<wire::Envelope> documents);

  // A signed wire::Offer at the exchange's price, to be reserved by `icon` alone. The same again,
  // the same one. Errors: kNotFound (no such trade), kRefused (another's), kExpired.
  Result<wire::Envelope> claim(const std::string& sale, const std::string& icon);
  bool knows(const std::string& sale) const { return trade_of(sale) != nullptr; }
  // {"sale","state","price_ucredits",..}: the live ask last.
  json::Array list() const;
  // Lost deposits in all sales so far: what this host owes because it was silent, and its shares of
  // others'. {"owed_ucredits","due_ucredits","sales":[{"sale","owed_ucredits","due_ucredits"}]},
  // the newest kTradesKept sales of each that had some.
  json::Object deposits() const;

 private:
  // kSilent: too late to reveal. Whether that costs the deposit the outcome says.
  enum class State { kNone, kCommitting, kCommitted, kRevealed, kSilent };
  struct Live {
    State state = State::kNone;
    std::string sale;
    wire::AuctionCall call_terms;
    wire::Envelope call, commit, bid;
    std::optional<wire::Envelope> ack;
  };
  struct Trade {
    std::string sale;
    std::string buyer;
    wire::Resources resources;
    std::int64_t slot_seconds = 0;
    wire::MicroCredits price = 0;
    UtcMillis claim_until_ms = 0;
    std::string offer;  // "" until it is claimed
    json::Object to_json() const;
    static Result<Trade> from_json(const json::Value& value);
  };
  struct Books {
    wire::MicroCredits owed = 0;
    wire::MicroCredits due = 0;
    json::Array sales;  // oldest first
  };
  const Trade* trade_of(const std::string& sale) const;
  std::int64_t unclaimed() const;
  Status put(const Live& live);
  Status put_trades(const std::vector<Trade>& trades);
  Status go(State state);
  Status end(std::string_view outcome, std::string_view why);
  Status conclude(const budget::auction::Conclusion& found);
  Books booked(const budget::auction::Deposits& deposits) const;
  Status load_books();
  void record(const std::vector<wire::Envelope>& documents);

  const Config& config_;
  const KeyPair& key_;
  const Clock& clock_;
  Journal& journal_;
  Market& market_;
  budget::ledger::Diary* diary_;
  Live live_;
  std::vector<Trade> trades_;  // oldest first
  Books books_;
  std::string passed_over_;  // the last sale that is done with
};

}  // namespace icon::supervisor
