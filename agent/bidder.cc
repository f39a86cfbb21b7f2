#include "agent/bidder.h"

#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/encoding.h"
#include "base/log.h"
#include "budget/auction/cell.h"
#include "budget/auction/record.h"

namespace icon::agent {
namespace {

namespace auction = budget::auction;
using Rule = wire::AuctionCall::Rule;
constexpr std::size_t kNonceBytes = 18;  // nobody guesses a bid by its digest
constexpr std::size_t kSaleDocumentsMax = 1'024;
constexpr Millis kStep{500};
constexpr std::int64_t kOfferLeftMs = 3'000;
// Without an outcome or, when it was won, without an offer, after the call's expiry.
constexpr std::int64_t kVoidAfterMs = 5'000;

bool is_final(const Error& error) {
  return error.code == Code::kExpired || error.code == Code::kRefused ||
         error.code == Code::kNotFound || error.code == Code::kLimit ||
         error.code == Code::kUnauthenticated || error.code == Code::kInvalid;
}

Result<std::vector<wire::Envelope>> documents_in(const json::Object& answer) {
  ICON_TRY(const auto* list, json::get_array(answer, "documents", kSaleDocumentsMax));
  std::vector<wire::Envelope> documents;
  for (const auto& value : *list) {
    ICON_TRY(auto document, wire::parse_envelope(value));
    documents.push_back(std::move(document));
  }
  return documents;
}

}  // namespace

Bidder::Bidder(BidderParts parts) : parts_(std::move(parts)), timer_(parts_.loop) {}

Status Bidder::bid(std::vector<KnownProvider> sellers, OpenSale sale, wire::MicroCredits price) {
  const auto* key = parts_.key();
  if (live_) return fail(Code::kConflict, "a bid is under way");
  if (key == nullptr || !parts_.wallet || !parts_.chronicle)
    return fail(Code::kUnavailable, "this ICON has no purse or no key of its own");
  if (sellers.empty()) return fail(Code::kInvalid, "nobody sells there");
  const auto now_ms = parts_.clock.utc_ms();
  Bid fresh;
  fresh.sale = sale.id;
  fresh.provider = sellers.front();
  fresh.sellers = std::move(sellers);
  fresh.api = sale.api;
  fresh.call = sale.call;
  fresh.price = price;
  fresh.hold = std::string(kBidHold) + sale.id;
  wire::AuctionBid body;
  body.auction = sale.id;
  body.party = key->public_key();
  const bool own = sale.call.rule == Rule::kUniform;
  fresh.resources = body.resources = sale.resources;
  body.start_ms = own ? sale.call.start_ms : auction::current_window(sale.call);
  body.slot_seconds = sale.call.slot_seconds;
  body.price_ucredits = price;
  body.nonce = random_token(kNonceBytes);
  ICON_TRY(fresh.bid, wire::seal(*key, body));
  ICON_TRY(fresh.commit, wire::seal(*key, wire::AuctionCommit{sale.id, key->public_key(),
                                                              fresh.bid.digest(), now_ms}));
  // What is lost by silence is held too, should it be more than the price.
  ICON_CHECK(parts_.wallet->hold(fresh.hold, std::max(price, sale.call.deposit_ucredits), now_ms));
  fresh.documents = {sale.call_document, fresh.commit, fresh.bid};
  live_ = std::move(fresh);
  if (const auto saved = save(); !saved) {
    (void)parts_.wallet->release(live_->hold, now_ms);
    live_.reset();
    return saved;
  }
  // On the disk before the commit leaves: with it in hand we can show what we had bid.
  for (const auto& document : live_->documents) record(document);
  log::info("bid.made", {{"sale", live_->sale},
                         {"provider", live_->provider.view.names.name},
                         {"price_ucredits", price},
                         {"slots", live_->call.slots}});
  arm();
  return {};
}

void Bidder::record(const wire::Envelope& document) {
  if (!parts_.chronicle) return;
  if (const auto recorded = parts_.chronicle->record(document); !recorded)
    log::error("ledger.not_recorded", {{"message", recorded.error().message}});
}

std::optional<KnownProvider> Bidder::won() const {
  if (!live_ || live_->state != State::kWon || !live_->offer) return std::nullopt;
  const auto offer = wire::Offer::from_json(live_->offer->body);
  if (!offer || offer->expires_ms < parts_.clock.utc_ms() + kOfferLeftMs) return std::nullopt;
  KnownProvider provider = live_->provider;
  provider.view.offer = *offer;
  provider.view.rejection.reset();
  provider.offer = live_->offer;
  return provider;
}

void Bidder::take() {
  if (live_ && live_->state == State::kWon) end(State::kWon, "taken");
}

void Bidder::open() {
  closed_ = false;
  load();
  arm();
}

void Bidder::close() {
  closed_ = true;
  timer_.cancel();
}

void Bidder::forget() {
  live_.reset();
  past_.clear();
  loaded_ = true;  // what may lie there was another's
  unlink(parts_.file.c_str());
}

bool Bidder::waits_for(const std::string& hold) {
  load();
  return live_ && live_->hold == hold;
}

void Bidder::end(State state, std::string reason) {
  live_->state = state;
  live_->reason = std::move(reason);
  const auto now_ms = parts_.clock.utc_ms();
  if (parts_.wallet) {
    Status done;
    if (live_->deposits.owed > 0)
      done = parts_.wallet->settle_part(live_->hold, live_->deposits.owed, now_ms);
    else
      done = parts_.wallet->release(live_->hold, now_ms);
    if (!done) log::error("purse.bid_failed", {{"message", done.error().message}});
  }
  log::info("bid.ended", {{"sale", live_->sale},
                          {"provider", live_->provider.view.names.name},
                          {"state", name_of(state)},
                          {"reason", live_->reason},
                          {"price_ucredits", live_->price},
                          {"clearing_ucredits", live_->clearing},
                          {"owed_ucredits", live_->deposits.owed},
                          {"due_ucredits", live_->deposits.due}});
  past_.push_back(describe(*live_));
  if (past_.size() > kBidsShown) past_.pop_front();
  live_.reset();
  unlink(parts_.file.c_str());
}

void Bidder::go(State state) {
  live_->state = state;
  if (const auto saved = save(); !saved)
    log::error("bid.not_saved", {{"message", saved.error().message}});
}

// ---- Its way, step by step ----

void Bidder::arm() {
  if (closed_ || !live_) return;
  timer_.expires_after(kStep);
  timer_.async_wait([this](boost::system::error_code error) {
    if (error || closed_ || !live_) return;
    if (!stepping_) parts_.tasks.spawn("bid", step_task());
    arm();
  });
}

SaleErrand Bidder::errand(std::string what) const {
  return {live_->api, live_->call.auctioneer.id(), std::move(what), live_->sale, {}, {}};
}

Task<void> Bidder::step_task() {
  if (!live_ || std::exchange(stepping_, true)) co_return;
  const struct Done {
    bool& stepping;
    ~Done() { stepping = false; }
  } done{stepping_};
  const auto now_ms = parts_.clock.utc_ms();
  if (live_->state == State::kCommitting) {
    co_await send_commit();
  } else if (live_->state == State::kCommitted) {
    if (now_ms >= live_->call.commit_until_ms) co_await send_reveal();
  } else if (live_->state == State::kRevealed || live_->state == State::kSilent) {
    co_await look_at_outcome();
  } else if (live_->state == State::kWon) {
    if (!live_->offer)
      co_await claim();
    else if (!won())
      end(State::kWon, "not taken in time");
  }
}

Task<void> Bidder::send_commit() {
  SaleErrand question = errand("commit");
  question.commit = live_->commit;
  const auto answer = co_await parts_.link.sale(std::move(question));
  if (!live_) co_return;
  if (answer) {
    go(State::kCommitted);
  } else if (is_final(answer.error()) || answer.error().code == Code::kConflict) {
    end(State::kRefused, answer.error().message);
  } else if (parts_.clock.utc_ms() >= live_->call.commit_until_ms) {
    // It may have arrived: then silence would cost the deposit.
    go(State::kCommitted);
  }
}

Task<void> Bidder::send_reveal() {
  SaleErrand question = errand("reveal");
  question.bid = live_->bid;
  const auto answer = co_await parts_.link.sale(std::move(question));
  if (!live_) co_return;
  if (answer) {
    const auto document = envelope_in(*answer, "ack");
    const auto ack = document ? wire::open<wire::AuctionAck>(*document) : fail(document.error());
    if (ack && ack->auctioneer == live_->call.auctioneer && ack->auction == live_->sale &&
        ack->bid_digest == live_->bid.digest()) {
      live_->documents.push_back(*document);
      record(*document);
      go(State::kRevealed);
      co_return;
    }
  }
  const bool late = parts_.clock.utc_ms() >= live_->call.reveal_until_ms;
  if (!answer && answer.error().code == Code::kNotFound)
    end(State::kRefused, answer.error().message);  // our commit is not among those that count
  else if (late)
    go(State::kSilent);
}

Task<void> Bidder::look_at_outcome() {
  const auto answer = co_await parts_.link.sale(errand("documents"));
  if (!live_) co_return;
  const auto now_ms = parts_.clock.utc_ms();
  auto documents = answer ? documents_in(*answer) : fail(answer.error());
  const bool concluded =
      documents && std::any_of(documents->begin(), documents->end(), [](const auto& document) {
        return document.type == wire::AuctionOutcome::kType;
      });
  if (!concluded) {
    if (now_ms >= live_->call.expires_ms + kVoidAfterMs) end(State::kVoid, "no outcome came");
    co_return;
  }
  conclude(std::move(*documents));
}

void Bidder::conclude(std::vector<wire::Envelope> documents) {
  const auto is_our_commit = [ours = live_->commit.digest()](const auto& document) {
    return document.digest() == ours;
  };
  // Nor do we owe anything for what has not arrived.
  if (live_->state == State::kSilent &&
      std::none_of(documents.begin(), documents.end(), is_our_commit))
    return end(State::kRefused, "our commit is not among those that count");
  // With our own bid and its acknowledgement: whether it was counted is seen.
  documents.insert(documents.end(), live_->documents.begin(), live_->documents.end());
  const auto found = auction::conclude(documents);
  if (!found || !found->outcome) {
    log::warn("sale.wrong", {{"sale", live_->sale},
                             {"provider", live_->provider.view.names.name},
                             {"message", found ? "no outcome" : found.error().message}});
    return end(State::kVoid, found ? "no outcome" : found.error().message);
  }
  // All of it, so that the ledger alone proves what became of the bid.
  std::set<std::string> recorded;
  for (const auto& document : live_->documents) recorded.insert(document.digest());
  for (const auto& document : documents)
    if (recorded.insert(document.digest()).second) record(document);
  if (const auto* key = parts_.key())
    live_->deposits = auction::deposits_of(found->clearing, key->public_key());
  if (live_->deposits.owed > 0) return end(State::kForfeited, "it was not revealed in time");
  find_trade(found->clearing);
}

// Who has the slot that we won; in an exchange one of several.
void Bidder::find_trade(const auction::Clearing& clearing) {
  const auto* key = parts_.key();
  for (const auto& cluster : clearing.clusters) {
    if (live_->call.rule == Rule::kUniform) live_->clearing = cluster.price;
    for (const auto& trade : cluster.trades) {
      if (key == nullptr || trade.buyer != key->public_key()) continue;
      live_->clearing = cluster.price;
      const auto seller = std::find_if(
          live_->sellers.begin(), live_->sellers.end(),
          [&](const KnownProvider& each) { return each.view.names.id == trade.seller.id(); });
      if (seller == live_->sellers.end())
        return end(State::kVoid, "its seller is none that we had reckoned with");
      live_->provider = *seller;
      go(State::kWon);
      return;
    }
  }
  end(State::kLost, "others bid more");
}

Task<void> Bidder::claim() {
  SaleErrand question = errand("claim");
  question.api = live_->provider.view.api;
  question.provider_id = live_->provider.view.names.id;
  const auto answer = co_await parts_.link.sale(std::move(question));
  if (!live_) co_return;
  if (!answer) {
    // In an exchange the seller hears of the outcome when it asks for it, and that may be after us.
    const bool not_yet =
        live_->call.rule == Rule::kDouble && answer.error().code == Code::kNotFound;
    const bool over = parts_.clock.utc_ms() >= live_->call.expires_ms + kVoidAfterMs;
    if (over || (is_final(answer.error()) && !not_yet)) end(State::kWon, answer.error().message);
    co_return;
  }
  const auto document = envelope_in(*answer, "offer");
  const auto offer = document ? wire::open<wire::Offer>(*document) : fail(document.error());
  if (!offer || offer->provider.id() != live_->provider.view.names.id ||
      offer->price_ucredits > live_->clearing || !offer->resources.covers(live_->resources) ||
      offer->slot_seconds < live_->call.slot_seconds) {
    end(State::kVoid, "the offer is not what was won");
    co_return;
  }
  live_->offer = *document;
  go(State::kWon);
  log::info("bid.won", {{"sale", live_->sale},
                        {"provider", live_->provider.view.names.name},
                        {"price_ucredits", live_->price},
                        {"clearing_ucredits", live_->clearing}});
}

std::string_view Bidder::name_of(State state) {
  constexpr std::string_view kNames[] = {"committing", "committed", "revealed",  "won",   "lost",
                                         "void",       "refused",   "forfeited", "silent"};
  return kNames[static_cast<std::size_t>(state)];
}

json::Object Bidder::describe(const Bid& bid) {
  return {{"sale", bid.sale},
          {"auctioneer", bid.call.auctioneer.id()},
          {"rule", bid.call.rule == Rule::kUniform ? "uniform" : "double"},
          {"provider", bid.provider.view.names.id},
          {"provider_name", bid.provider.view.names.name},
          {"state", name_of(bid.state)},
          {"reason", bid.reason},
          {"slots", bid.call.slots},
          {"slot_seconds", bid.call.slot_seconds},
          {"commit_until_ms", bid.call.commit_until_ms},
          {"reveal_until_ms", bid.call.reveal_until_ms},
          {"price_ucredits", bid.price},
          {"clearing_ucredits", bid.clearing},
          {"deposit_ucredits", bid.call.deposit_ucredits},
          {"owed_ucredits", bid.deposits.owed},
          {"due_ucredits", bid.deposits.due}};
}

json::Array Bidder::status_json() const {
  json::Array list;
  for (const auto& bid : past_) list.emplace_back(bid);
  if (live_) list.emplace_back(describe(*live_));
  return list;
}

}  // namespace icon::agent
