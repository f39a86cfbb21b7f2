#include "supervisor/asks.h"

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "base/encoding.h"
#include "base/log.h"
#include "budget/auction/cell.h"
#include "budget/auction/record.h"

namespace icon::supervisor {
namespace {

namespace auction = budget::auction;
constexpr std::size_t kNonceBytes = 18;  // nobody guesses an ask by its digest
constexpr std::size_t kJournalBytesMax = 1 << 20;
constexpr std::int64_t kCommitAheadMs = 500;
constexpr std::int64_t kClockSlackMs = 3'000;
constexpr std::int64_t kVoidAfterMs = 5'000;  // without an outcome, after the call's expiry
constexpr std::string_view kLiveKey = "ask";
constexpr std::string_view kTradesKey = "ask_trades";
constexpr std::string_view kDepositsKey = "ask_deposits";

// What no repetition will change.
bool is_final(const Error& error) {
  return error.code == Code::kRefused || error.code == Code::kExpired ||
         error.code == Code::kConflict || error.code == Code::kNotFound ||
         error.code == Code::kInvalid || error.code == Code::kUnauthenticated;
}

}  // namespace

Asks::Asks(const Config& config, const KeyPair& key, const Clock& clock, Journal& journal,
           Market& market, budget::ledger::Diary* diary)
    : config_(config),
      key_(key),
      clock_(clock),
      journal_(journal),
      market_(market),
      diary_(diary) {}

// ---- The journal ----

json::Object Asks::Trade::to_json() const {
  return {{"sale", sale},
          {"buyer", buyer},
          {"resources", resources.to_json()},
          {"slot_seconds", slot_seconds},
          {"price_ucredits", price},
          {"claim_until_ms", claim_until_ms},
          {"offer", offer}};
}

Result<Asks::Trade> Asks::Trade::from_json(const json::Value& value) {
  const auto* object = value.if_object();
  if (object == nullptr) return fail(Code::kInvalid, "the journal's list of trades is damaged");
  Trade trade;
  ICON_TRY(trade.sale, json::get_string(*object, "sale", 64));
  ICON_TRY(trade.buyer, json::get_string(*object, "buyer", 64));
  ICON_TRY(const auto* resources, json::get_object(*object, "resources"));
  ICON_TRY(trade.resources, wire::Resources::from_json(*resources));
  ICON_TRY(trade.slot_seconds, json::get_int(*object, "slot_seconds", 1, wire::kSlotSecondsMax));
  ICON_TRY(trade.price, json::get_int(*object, "price_ucredits", 0, wire::kMicroCreditsMax));
  ICON_TRY(trade.claim_until_ms, json::get_int(*object, "claim_until_ms", 0, INT64_MAX));
  ICON_TRY(trade.offer, json::get_string(*object, "offer", kJournalBytesMax));
  return trade;
}

Status Asks::put(const Live& live) {
  if (live.state == State::kNone) return journal_.remove_value(std::string(kLiveKey));
  json::Object object{{"state", static_cast<int>(live.state)},
                      {"call", live.call.to_json()},
                      {"commit", live.commit.to_json()},
                      {"bid", live.bid.to_json()}};
  if (live.ack) object["ack"] = live.ack->to_json();
  return journal_.put_value(std::string(kLiveKey), boost::json::serialize(object));
}

Status Asks::put_trades(const std::vector<Trade>& trades) {
  json::Array list;
  for (const auto& trade : trades) list.emplace_back(trade.to_json());
  return journal_.put_value(std::string(kTradesKey), boost::json::serialize(list));
}

Status Asks::load_books() {
  books_ = {};
  ICON_TRY(const auto text, journal_.value(std::string(kDepositsKey)));
  if (!text) return {};
  ICON_TRY(const auto object, json::parse_object(*text, kJournalBytesMax, json::kOwnDepthMax));
  ICON_TRY(books_.owed, json::get_int(object, "owed_ucredits", 0, wire::kMicroCreditsMax));
  ICON_TRY(books_.due, json::get_int(object, "due_ucredits", 0, wire::kMicroCreditsMax));
  ICON_TRY(const auto* sales, json::get_array(object, "sales", kTradesKept));
  books_.sales = *sales;
  return {};
}

Status Asks::load() {
  live_ = {};
  trades_.clear();
  ICON_CHECK(load_books());
  ICON_TRY(const auto text, journal_.value(std::string(kLiveKey)));
  if (text) {
    ICON_TRY(const auto object, json::parse_object(*text, kJournalBytesMax, json::kOwnDepthMax));
    Live live;
    ICON_TRY(const auto state, json::get_int(object, "state", 1, 4));
    live.state = static_cast<State>(state);
    for (auto [key, document] :
         {std::pair{"call", &live.call}, {"commit", &live.commit}, {"bid", &live.bid}}) {
      ICON_TRY(const auto* value, json::get_object(object, key));
      ICON_TRY(*document, wire::parse_envelope(json::Value(*value)));
    }
    if (const auto* ack = object.if_contains("ack")) {
      ICON_TRY(live.ack, wire::parse_envelope(*ack));
    }
    ICON_TRY(live.call_terms, wire::open<wire::AuctionCall>(live.call));
    live.sale = live.call.digest();
    live_ = std::move(live);
  }
  ICON_TRY(const auto list, journal_.value(std::string(kTradesKey)));
  if (!list) return {};
  ICON_TRY(const auto trades, json::parse(*list, kJournalBytesMax, json::kOwnDepthMax));
  if (!trades.is_array()) return fail(Code::kInvalid, "the journal's list of trades is damaged");
  for (const auto& value : trades.get_array()) {
    ICON_TRY(auto trade, Trade::from_json(value));
    trades_.push_back(std::move(trade));
  }
  return {};
}

void Asks::record(const std::vector<wire::Envelope>& documents) {
  budget::ledger::Diary::record_all(diary_, documents, clock_.utc_ms());
}

// ---- An ask's way ----

// Traded away, and the time to take it still open: not to be asked for again.
std::int64_t Asks::unclaimed() const {
  const auto now_ms = clock_.utc_ms();
  return std::count_if(trades_.begin(), trades_.end(), [&](const Trade& trade) {
    return now_ms < trade.claim_until_ms + kClaimWithin.count() &&
           !market_.has_taken(trade.sale, trade.buyer);
  });
}

Result<Asks::Errand> Asks::next() {
  const auto& bids = config_.sealed_bids;
  const auto now_ms = clock_.utc_ms();
  switch (live_.state) {
    case State::kNone: {
      if (!bids.exchange || bids.slots <= 0 || !config_.accept_leases) return Errand::kNone;
      if (!market_.check_open()) return Errand::kNone;
      ICON_TRY(const auto left, market_.slots_set_aside());
      return left > unclaimed() ? Errand::kFind : Errand::kNone;
    }
    case State::kCommitting: {
      if (now_ms < live_.call_terms.commit_until_ms) return Errand::kCommit;
      // It may have arrived: then silence would cost the deposit.
      ICON_CHECK(go(State::kCommitted));
      return Errand::kReveal;
    }
    case State::kCommitted:
      if (now_ms < live_.call_terms.commit_until_ms) return Errand::kNone;
      if (now_ms < live_.call_terms.reveal_until_ms) return Errand::kReveal;
      log::warn("ask.silent", {{"sale", live_.sale}});
      ICON_CHECK(go(State::kSilent));
      return Errand::kDocuments;
    case State::kRevealed:
    case State::kSilent:
      if (now_ms < live_.call_terms.expires_ms + kVoidAfterMs) return Errand::kDocuments;
      ICON_CHECK(end("void", "no outcome came"));
      return Errand::kNone;
  }
  return Errand::kNone;
}

Status Asks::go(State state) {
  Live after = live_;
  after.state = state;
  ICON_CHECK(put(after));
  live_ = std::move(after);
  return {};
}

Status Asks::end(std::string_view outcome, std::string_view why) {
  log::info("ask.ended", {{"sale", live_.sale}, {"outcome", outcome}, {"why", why}});
  const Live none;
  ICON_CHECK(put(none));
  passed_over_ = live_.sale;
  live_ = none;
  return {};
}

Status Asks::on_call(const wire::Envelope& document) {
  const auto& bids = config_.sealed_bids;
  if (!bids.exchange || live_.state != State::kNone)
    return fail(Code::kConflict, "an ask is under way");
  ICON_TRY(const auto call, wire::open<wire::AuctionCall>(document));
  const auto now_ms = clock_.utc_ms();
  if (call.auctioneer != bids.exchange->id)
    return fail(Code::kUnauthenticated, "that is another exchange's call");
  if (call.rule != wire::AuctionCall::Rule::kDouble || call.slot_seconds > bids.slot_seconds ||
      call.issued_ms > now_ms + kClockSlackMs || now_ms + kCommitAheadMs >= call.commit_until_ms)
    return fail(Code::kInvalid, "that call is not for our slots, or nearly over");
  Live live;
  live.sale = document.digest();
  if (live.sale == passed_over_) return fail(Code::kConflict, "that sale is over for us");
  live.state = State::kCommitting;
  live.call_terms = call;
  live.call = document;
  wire::AuctionBid bid;
  bid.auction = live.sale;
  bid.party = key_.public_key();
  bid.side = wire::AuctionBid::Side::kSell;
  bid.resources = bids.resources;
  bid.start_ms = auction::current_window(call);
  bid.slot_seconds = call.slot_seconds;
  bid.price_ucredits = bids.reserve_ucredits;
  bid.nonce = random_token(kNonceBytes);
  if (!auction::cell_of(call, bid))
    return fail(Code::kInvalid, "our slots are smaller than the exchange's unit");
  ICON_TRY(live.bid, wire::seal(key_, bid));
  ICON_TRY(live.commit, wire::seal(key_, wire::AuctionCommit{live.sale, key_.public_key(),
                                                             live.bid.digest(), now_ms}));
  ICON_CHECK(put(live));
  live_ = std::move(live);
  record({live_.call, live_.commit, live_.bid});
  log::info("ask.made", {{"sale", live_.sale}, {"price_ucredits", bid.price_ucredits}});
  return {};
}

Status Asks::on_commit(const Status& answer) {
  if (live_.state != State::kCommitting) return {};
  if (!answer) return is_final(answer.error()) ? end("refused", answer.error().message) : Status{};
  return go(State::kCommitted);
}

Status Asks::on_reveal(const Result<wire::Envelope>& answer) {
  if (live_.state != State::kCommitted) return {};
  if (!answer)  // our commit is not among those that count
    return answer.error().code == Code::kNotFound ? end("refused", answer.error().message)
                                                  : Status{};
  const auto ack = wire::open<wire::AuctionAck>(*answer);
  if (!ack || ack->auctioneer != live_.call_terms.auctioneer || ack->auction != live_.sale ||
      ack->bid_digest != live_.bid.digest()) {
    log::warn("ask.wrong_ack", {{"sale", live_.sale}});
    return {};
  }
  Live after = live_;
  after.state = State::kRevealed;
  after.ack = *answer;
  ICON_CHECK(put(after));
  live_ = std::move(after);
  record({*live_.ack});
  return {};
}

Status Asks::on_documents(std::vector<wire::Envelope> documents) {
  if (live_.state != State::kRevealed && live_.state != State::kSilent) return {};
  const auto holds = [&](const auto& wanted) {
    return std::any_of(documents.begin(), documents.end(), wanted);
  };
  if (!holds([](const wire::Envelope& document) {
        return document.type == wire::AuctionOutcome::kType;
      }))
    return {};
  const auto is_our_commit = [ours = live_.commit.digest()](const wire::Envelope& document) {
    return document.digest() == ours;
  };
  if (live_.state == State::kSilent && !holds(is_our_commit))
    return end("refused", "our commit is not among those that count");
  // With our own ask and its acknowledgement: whether it was counted is seen.
  documents.insert(documents.end(), {live_.call, live_.commit, live_.bid});
  if (live_.ack) documents.push_back(*live_.ack);
  const auto found = auction::conclude(documents);
  if (!found || !found->outcome) {
    const std::string why = found ? "no outcome" : found.error().message;
    log::warn("sale.wrong", {{"sale", live_.sale}, {"message", why}});
    return end("void", why);
  }
  // All of it, so that the ledger alone proves what became of the ask, and of the deposits.
  record(documents);
  return conclude(*found);
}

Asks::Books Asks::booked(const auction::Deposits& deposits) const {
  Books books = books_;
  if (deposits.owed == 0 && deposits.due == 0) return books;
  books.owed = std::min(books.owed + deposits.owed, wire::kMicroCreditsMax);
  books.due = std::min(books.due + deposits.due, wire::kMicroCreditsMax);
  books.sales.push_back(json::Object{
      {"sale", live_.sale}, {"owed_ucredits", deposits.owed}, {"due_ucredits", deposits.due}});
  if (books.sales.size() > kTradesKept) books.sales.erase(books.sales.begin());
  return books;
}

// Trade, books and the end of the ask at once: an outcome that is read again counts once.
Status Asks::conclude(const auction::Conclusion& found) {
  auto trades = trades_;
  for (const auto& cluster : found.clearing.clusters)
    for (const auto& pair : cluster.trades) {
      if (pair.seller != key_.public_key()) continue;
      trades.push_back({live_.sale, pair.buyer.id(), cluster.resources, cluster.seconds,
                        cluster.price, found.outcome->issued_ms + kClaimWithin.count(), ""});
    }
  const bool sold = trades.size() > trades_.size();
  if (trades.size() > kTradesKept) trades.erase(trades.begin());
  const auto deposits = auction::deposits_of(found.clearing, key_.public_key());
  Books books = booked(deposits);
  const json::Object text{
      {"owed_ucredits", books.owed}, {"due_ucredits", books.due}, {"sales", books.sales}};
  ICON_CHECK(journal_.transaction([&]() -> Status {
    if (sold) ICON_CHECK(put_trades(trades));
    ICON_CHECK(journal_.put_value(std::string(kDepositsKey), boost::json::serialize(text)));
    return put(Live{});
  }));
  trades_ = std::move(trades);
  books_ = std::move(books);
  if (sold)
    log::info("ask.sold", {{"sale", live_.sale},
                           {"buyer", trades_.back().buyer},
                           {"price_ucredits", trades_.back().price}});
  log::info("ask.ended", {{"sale", live_.sale},
                          {"outcome", sold                ? "sold"
                                      : deposits.owed > 0 ? "forfeited"
                                                          : "unsold"},
                          {"owed_ucredits", deposits.owed},
                          {"due_ucredits", deposits.due}});
  passed_over_ = live_.sale;
  live_ = {};
  return {};
}

// ---- What follows ----

const Asks::Trade* Asks::trade_of(const std::string& sale) const {
  const auto found = std::find_if(trades_.begin(), trades_.end(),
                                  [&](const Trade& trade) { return trade.sale == sale; });
  return found == trades_.end() ? nullptr : &*found;
}

Result<wire::Envelope> Asks::claim(const std::string& sale, const std::string& icon) {
  const auto* trade = trade_of(sale);
  if (trade == nullptr) return fail(Code::kNotFound, "no such sale here");
  if (trade->buyer != icon) return fail(Code::kRefused, "this ICON has won nothing here");
  if (!trade->offer.empty()) return wire::parse_envelope(trade->offer);
  if (clock_.utc_ms() >= trade->claim_until_ms)
    return fail(Code::kExpired, "it was not claimed in time");
  ICON_TRY(auto offer, market_.offer_of_sale({sale, icon}, trade->resources, trade->slot_seconds,
                                             trade->price));
  auto trades = trades_;
  trades[static_cast<std::size_t>(trade - trades_.data())].offer =
      boost::json::serialize(offer.to_json());
  ICON_CHECK(put_trades(trades));
  trades_ = std::move(trades);
  return offer;
}

json::Array Asks::list() const {
  json::Array list;
  for (const auto& trade : trades_)
    list.emplace_back(json::Object{{"sale", trade.sale},
                                   {"state", trade.offer.empty() ? "sold" : "claimed"},
                                   {"buyer", trade.buyer},
                                   {"price_ucredits", trade.price},
                                   {"slot_seconds", trade.slot_seconds}});
  constexpr std::string_view kNames[] = {"", "committing", "committed", "revealed", "silent"};
  if (live_.state != State::kNone)
    list.emplace_back(json::Object{{"sale", live_.sale},
                                   {"state", kNames[static_cast<std::size_t>(live_.state)]},
                                   {"price_ucredits", config_.sealed_bids.reserve_ucredits},
                                   {"slot_seconds", live_.call_terms.slot_seconds}});
  return list;
}

json::Object Asks::deposits() const {
  return {{"owed_ucredits", books_.owed}, {"due_ucredits", books_.due}, {"sales", books_.sales}};
}

}  // namespace icon::supervisor
