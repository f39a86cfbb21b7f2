// Sealed bids for slots that are not to be had at a posted price: one at a time. It commits,
// reveals when the sale has closed, checks the outcome with everybody's documents, and takes up the
// offer when it has won. The price is what the slot is worth, as the rule makes the truth the best
// bid.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/chronicle.h"
#include "agent/provider_book.h"
#include "agent/supervisor_link.h"
#include "agent/task_group.h"
#include "agent/wallet.h"
#include "budget/auction/clearing.h"
#include "wire/auction.h"

namespace icon::agent {

inline constexpr std::size_t kBidsShown = 32;
inline constexpr std::string_view kBidHold = "sealed/";  // and the sale

// What it needs of Rounds; everything is borrowed.
struct BidderParts {
  IoContext& loop;
  const Clock& clock;
  SupervisorLink& link;
  TaskGroup& tasks;
  std::optional<Wallet>& wallet;
  std::optional<Chronicle>& chronicle;
  std::function<const KeyPair*()> key;
  std::string file;  // the bid that is under way: a commit whose reveal is forgotten costs money
};

// A call that is still open, and whose it is.
struct OpenSale {
  std::string id;
  wire::Envelope call_document;
  wire::AuctionCall call;
  wire::Resources resources;       // what a bid of ours is for
  Endpoint api;                    // of the auctioneer
  std::vector<PublicKey> sellers;  // of an exchange: one of them will have the slot
};
// A document in an answer. Errors: kInvalid.
Result<wire::Envelope> envelope_in(const json::Object& answer, std::string_view key);

// The first of an auctioneer's sales by that rule that sells what we need, with time left to
// commit. A call that is not its own is passed over.
std::optional<OpenSale> choose_sale(const json::Object& answer, const PublicKey& auctioneer,
                                    wire::AuctionCall::Rule rule, const wire::Resources& need,
                                    UtcMillis now_ms);

// Where a provider says that it sells, when it sells in an exchange; none when it does not.
struct ExchangePointer {
  PublicKey id;
  Endpoint api;
};
// `provider`: where it was asked. Who is in the world does not send us into private networks.
// Errors: kInvalid.
Result<std::optional<ExchangePointer>> exchange_in(const json::Object& answer,
                                                   const Address& provider);
// Who sells in an exchange, by its own word: at least one. Errors: kInvalid, kLimit.
Result<std::vector<PublicKey>> sellers_in(const json::Object& answer);

// Owner: Rounds. Loop thread. Its memory travels with the process; closed, it holds no descriptor.
class Bidder {
 public:
  explicit Bidder(BidderParts parts);

  bool busy() const { return live_.has_value(); }
  // The sale that `provider` has open, or the exchange at which it sells, if any. Errors: of the
  // calls.
  Task<Result<std::optional<OpenSale>>> find_sale(KnownProvider provider, wire::Resources need);
  // Money is held, then the bid begins its way. `sellers`: each who may have the slot, as we know
  // them. Errors: kLimit (money), kConflict (one is live).
  Status bid(std::vector<KnownProvider> sellers, OpenSale sale, wire::MicroCredits price);

  // The provider with the offer that we won, while it can be taken.
  std::optional<KnownProvider> won() const;
  // The hold of a bid that is under way, also of an earlier process'.
  bool waits_for(const std::string& hold);
  // It is bought, or no longer wanted: the bid's hold goes, the purchase has one of its own.
  void take();

  void open();   // our host is there
  void close();  // a freeze is near
  void forget();
  json::Array status_json() const;

 private:
  // kSilent: too late to reveal. Whether that costs the deposit the outcome says.
  enum class State {
    kCommitting,
    kCommitted,
    kRevealed,
    kWon,
    kLost,
    kVoid,
    kRefused,
    kForfeited,
    kSilent,
  };
  struct Bid {
    State state = State::kCommitting;
    std::string sale;
    std::vector<KnownProvider> sellers;
    KnownProvider provider;  // who has the slot, as far as is known
    Endpoint api;            // of the auctioneer
    wire::AuctionCall call;
    wire::Resources resources;              // what was won, at least
    std::vector<wire::Envelope> documents;  // call, commit, bid, acknowledgement: our own
    wire::Envelope commit;
    wire::Envelope bid;
    std::string hold;
    wire::MicroCredits price = 0;     // ours
    wire::MicroCredits clearing = 0;  // everybody's
    budget::auction::Deposits deposits;
    std::string reason;
    std::optional<wire::Envelope> offer;
  };
  static std::string_view name_of(State state);
  static json::Object describe(const Bid& bid);
  static json::Object to_json(const Bid& bid);
  static Result<Bid> from_json(const json::Object& object);
  void load();
  Status save() const;
  void go(State state);
  void arm();
  Task<void> step_task();
  Task<void> send_commit();
  Task<void> send_reveal();
  Task<void> look_at_outcome();
  Task<void> claim();
  void end(State state, std::string reason);
  void record(const wire::Envelope& document);
  SaleErrand errand(std::string what) const;
  Task<Result<std::optional<OpenSale>>> find_exchange(ExchangePointer at, wire::Resources need);
  void conclude(std::vector<wire::Envelope> documents);
  void find_trade(const budget::auction::Clearing& clearing);

  BidderParts parts_;
  boost::asio::steady_timer timer_;
  bool closed_ = true;
  bool loaded_ = false;
  bool stepping_ = false;
  std::optional<Bid> live_;
  std::deque<json::Object> past_;  // the newest last
};

}  // namespace icon::agent
