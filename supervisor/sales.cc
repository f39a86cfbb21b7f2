#include "supervisor/sales.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <set>

#include "base/digest.h"
#include "base/encoding.h"
#include "base/log.h"
#include "budget/auction/record.h"

namespace icon::supervisor {
namespace {

namespace auction = budget::auction;
using Rule = wire::AuctionCall::Rule;
constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kSecretBytes = 32;
constexpr std::size_t kSaleBytesMax = 1 << 20;
constexpr std::string_view kIndexKey = "sales";

std::string key_of(const std::string& id) { return "sale/" + id; }

Result<auction::Seed> seed_from(const std::string& hex) {
  ICON_TRY(const auto bytes, hex_decode(hex, auction::Seed{}.size()));
  auction::Seed seed{};
  if (bytes.size() != seed.size()) return fail(Code::kInvalid, "the sale's secret is damaged");
  std::copy(bytes.begin(), bytes.end(), seed.begin());
  return seed;
}

}  // namespace

Sales::Sales(const Config& config, const KeyPair& key, const Clock& clock, Journal& journal,
             Market& market, budget::ledger::Diary* diary)
    : config_(config),
      key_(key),
      clock_(clock),
      journal_(journal),
      market_(market),
      diary_(diary) {}

std::string_view Sales::name_of(State state) {
  switch (state) {
    case State::kOpen:
      return "open";
    case State::kRevealing:
      return "revealing";
    case State::kOver:
      return "over";
    case State::kVoid:
      return "void";
  }
  return "void";
}

// ---- The journal ----

Status Sales::put(const std::string& id, const Sale& sale) {
  json::Array documents;
  for (const auto& document : sale.documents) documents.emplace_back(document.to_json());
  json::Object offers;
  for (const auto& [icon, offer] : sale.offers) offers[icon] = offer;
  json::Object hosts;
  for (const auto& [host, count] : sale.hosts) hosts[host] = count;
  const auto text = boost::json::serialize(json::Object{{"state", static_cast<int>(sale.state)},
                                                        {"secret", sale.secret_hex},
                                                        {"documents", std::move(documents)},
                                                        {"offers", std::move(offers)},
                                                        {"hosts", std::move(hosts)}});
  if (text.size() > kSaleBytesMax) return fail(Code::kLimit, "this sale is full");
  return journal_.put_value(key_of(id), text);
}

// What a document of a sale means for it; the journal's own were checked before they went there.
Status Sales::take_up(const wire::Envelope& document, Sale& sale) {
  if (document.type == wire::AuctionCall::kType) {
    ICON_TRY(sale.call, wire::AuctionCall::from_json(document.body));
  } else if (document.type == wire::AuctionCommit::kType) {
    ICON_TRY(const auto commit, wire::AuctionCommit::from_json(document.body));
    sale.commits[commit.party.id()] = commit.bid_digest;
  } else if (document.type == wire::AuctionAck::kType) {
    ICON_TRY(const auto ack, wire::AuctionAck::from_json(document.body));
    sale.acks[ack.bid_digest] = boost::json::serialize(document.to_json());
  }
  return {};
}

Result<Sales::Sale> Sales::read(const std::string& id) const {
  ICON_TRY(const auto text, journal_.value(key_of(id)));
  if (!text) return fail(Code::kInvalid, "the journal has lost a sale");
  ICON_TRY(const auto object, json::parse_object(*text, kSaleBytesMax, json::kOwnDepthMax));
  Sale sale;
  ICON_TRY(const auto state, json::get_int(object, "state", 0, 3));
  sale.state = static_cast<State>(state);
  ICON_TRY(sale.secret_hex, json::get_string(object, "secret", 64));
  ICON_TRY(const auto* documents, json::get_array(object, "documents", 3 * kPartiesMax + 3));
  for (const auto& value : *documents) {
    ICON_TRY(auto document, wire::parse_envelope(value));
    ICON_CHECK(take_up(document, sale));
    sale.documents.push_back(std::move(document));
  }
  ICON_TRY(const auto* offers, json::get_object(object, "offers"));
  for (const auto& [icon, offer] : *offers)
    if (offer.is_string()) sale.offers[icon] = std::string(offer.get_string());
  ICON_TRY(const auto* hosts, json::get_object(object, "hosts"));
  for (const auto& [host, count] : *hosts)
    if (count.is_int64()) sale.hosts[host] = static_cast<std::size_t>(count.get_int64());
  if (sale.state != State::kOver) return sale;
  ICON_TRY(const auto found, auction::conclude(sale.documents));
  sale.trades = found.clearing.trades();
  if (sale.call.rule == Rule::kDouble) return sale;  // a price in each cell, and no slot of ours
  for (const auto& cluster : found.clearing.clusters) {
    sale.price = cluster.price;
    for (const auto& trade : cluster.trades) sale.winners.push_back(trade.buyer.id());
  }
  return sale;
}

Status Sales::load() {
  sales_.clear();
  ICON_TRY(const auto text, journal_.value(std::string(kIndexKey)));
  if (!text) return {};
  ICON_TRY(const auto index, json::parse(*text, kSaleBytesMax, json::kOwnDepthMax));
  if (!index.is_array()) return fail(Code::kInvalid, "the journal's list of sales is damaged");
  for (const auto& value : index.get_array()) {
    if (!value.is_string()) continue;
    const std::string id(value.get_string());
    ICON_TRY(auto sale, read(id));
    auto& called_ms = called_ms_[sale.call.rule];
    called_ms = std::max(called_ms, sale.call.issued_ms);
    sales_.emplace_back(id, std::move(sale));
  }
  return {};
}

Status Sales::add(const std::string& id, Sale& sale, const wire::Envelope& document) {
  // What is not on the disk has not happened.
  Sale after = sale;
  after.documents.push_back(document);
  ICON_CHECK(take_up(document, after));
  ICON_CHECK(put(id, after));
  sale = std::move(after);
  return {};
}

void Sales::record(const Sale& sale) {
  budget::ledger::Diary::record_all(diary_, sale.documents, clock_.utc_ms());
}

// ---- What the clock brings ----

// Won, and its offer or the time for it still open: not to be sold again.
std::int64_t Sales::unclaimed() const {
  std::int64_t count = 0;
  const auto now_ms = clock_.utc_ms();
  for (const auto& [id, sale] : sales_) {
    if (sale.state != State::kOver) continue;
    if (now_ms >= sale.call.reveal_until_ms + 2 * kClaimWithin.count()) continue;
    for (const auto& winner : sale.winners) count += !market_.has_taken(id, winner);
  }
  return count;
}

Status Sales::call_own(UtcMillis now_ms) {
  const auto& rules = config_.sealed_bids;
  if (rules.slots <= 0 || rules.exchange || !config_.accept_leases ||
      now_ms < called_ms_[Rule::kUniform] + rules.every_ms)
    return {};
  ICON_TRY(const auto cordon, market_.cordoned());
  if (cordon) return {};
  ICON_TRY(const auto left, market_.slots_set_aside());
  wire::AuctionCall call;
  call.rule = Rule::kUniform;
  call.slots = left - unclaimed();
  if (call.slots <= 0) return {};
  call.resources = rules.resources;
  call.slot_seconds = rules.slot_seconds;
  call.reserve_ucredits = rules.reserve_ucredits;
  call.deposit_ucredits = rules.deposit_ucredits;
  call.issued_ms = now_ms;
  call.start_ms = now_ms + rules.bid_ms + rules.reveal_ms;
  return put_call(std::move(call), rules.bid_ms, rules.reveal_ms);
}

Status Sales::call_exchange(UtcMillis now_ms) {
  const auto& rules = config_.exchange;
  if (rules.slot_seconds == 0 || now_ms < called_ms_[Rule::kDouble] + rules.every_ms) return {};
  wire::AuctionCall call;
  call.rule = Rule::kDouble;
  call.resources = rules.unit;
  call.slot_seconds = rules.slot_seconds;
  call.deposit_ucredits = rules.deposit_ucredits;
  call.issued_ms = now_ms;
  return put_call(std::move(call), rules.bid_ms, rules.reveal_ms);
}

Status Sales::put_call(wire::AuctionCall call, std::int64_t bid_ms, std::int64_t reveal_ms) {
  const auto secret = blake2b(random_token(kSecretBytes));
  call.auctioneer = key_.public_key();
  call.nonce = random_token(kNonceBytes);
  call.seed_commitment = auction::seed_commitment(secret);
  call.commit_until_ms = call.issued_ms + bid_ms;
  call.reveal_until_ms = call.commit_until_ms + reveal_ms;
  call.expires_ms = call.reveal_until_ms + kOutcomeWithin.count();
  ICON_CHECK(wire::AuctionCall::from_json(call.to_json()));
  ICON_TRY(const auto document, wire::seal(key_, call));
  Sale sale;
  sale.call = call;
  sale.secret_hex = hex_encode(secret);
  sale.documents = {document};
  const auto id = document.digest();
  std::vector<std::string> dropped;
  json::Array index;
  for (std::size_t i = 0; i < sales_.size(); ++i) {
    if (i + kKept <= sales_.size())
      dropped.push_back(sales_[i].first);
    else
      index.emplace_back(sales_[i].first);
  }
  index.emplace_back(id);
  ICON_CHECK(journal_.transaction([&]() -> Status {
    ICON_CHECK(put(id, sale));
    for (const auto& old : dropped) ICON_CHECK(journal_.remove_value(key_of(old)));
    return journal_.put_value(std::string(kIndexKey), boost::json::serialize(index));
  }));
  sales_.erase(sales_.begin(), sales_.begin() + static_cast<std::ptrdiff_t>(dropped.size()));
  sales_.emplace_back(id, std::move(sale));
  called_ms_[call.rule] = call.issued_ms;
  log::info("sale.called", {{"sale", id},
                            {"rule", call.rule == Rule::kUniform ? "uniform" : "double"},
                            {"slots", call.slots},
                            {"until_ms", call.commit_until_ms}});
  return {};
}

bool Sales::is_seller(const PublicKey& party) const {
  const auto& sellers = config_.exchange.sellers;
  return std::find(sellers.begin(), sellers.end(), party) != sellers.end();
}

Status Sales::close(const std::string& id, Sale& sale) {
  const auto now_ms = clock_.utc_ms();
  std::vector<wire::Envelope> commits;
  for (const auto& document : sale.documents)
    if (document.type == wire::AuctionCommit::kType) commits.push_back(document);
  // Nobody came, or we were away for too long: nobody owes anything.
  if (commits.empty() || now_ms >= sale.call.reveal_until_ms) {
    sale.state = State::kVoid;
    return put(id, sale);
  }
  ICON_TRY(const auto secret, seed_from(sale.secret_hex));
  ICON_TRY(const auto closed,
           auction::close_auction(key_, sale.documents.front(), commits, secret, now_ms));
  Sale after = sale;
  after.state = State::kRevealing;
  ICON_CHECK(add(id, after, closed));
  sale = std::move(after);
  return {};
}

Status Sales::conclude(const std::string& id, Sale& sale) {
  const auto now_ms = clock_.utc_ms();
  if (now_ms >= sale.call.expires_ms) {
    sale.state = State::kVoid;
    return put(id, sale);
  }
  ICON_TRY(const auto outcome, auction::settle_auction(key_, sale.documents, now_ms));
  Sale after = sale;
  after.state = State::kOver;
  ICON_CHECK(add(id, after, outcome));
  ICON_TRY(sale, read(id));
  record(sale);
  log::info("sale.over", {{"sale", id},
                          {"commits", sale.commits.size()},
                          {"revealed", sale.acks.size()},
                          {"winners", sale.trades},
                          {"price_ucredits", sale.price}});
  return {};
}

Status Sales::tick() {
  const auto now_ms = clock_.utc_ms();
  std::set<Rule> open;
  for (auto& [id, sale] : sales_) {
    if (sale.state == State::kOpen && now_ms >= sale.call.commit_until_ms)
      ICON_CHECK(close(id, sale));
    // Once all have revealed nothing is waited for.
    if (sale.state == State::kRevealing &&
        (now_ms >= sale.call.reveal_until_ms || sale.acks.size() == sale.commits.size()))
      ICON_CHECK(conclude(id, sale));
    if (sale.state == State::kOpen || sale.state == State::kRevealing) open.insert(sale.call.rule);
  }
  if (!open.count(Rule::kUniform)) ICON_CHECK(call_own(now_ms));
  return open.count(Rule::kDouble) ? Status{} : call_exchange(now_ms);
}

// ---- What strangers ask ----

json::Array Sales::list() const {
  json::Array list;
  for (const auto& [id, sale] : sales_)
    list.emplace_back(json::Object{{"sale", id},
                                   {"state", name_of(sale.state)},
                                   {"call", sale.documents.front().to_json()},
                                   {"commits", sale.commits.size()},
                                   {"revealed", sale.acks.size()},
                                   {"winners", sale.trades},
                                   {"price_ucredits", sale.price}});
  return list;
}

Result<json::Array> Sales::documents(const std::string& id) const {
  const auto found = std::find_if(sales_.begin(), sales_.end(),
                                  [&](const auto& each) { return each.first == id; });
  if (found == sales_.end()) return fail(Code::kNotFound, "no such sale here");
  const auto& sale = found->second;
  json::Array documents;
  for (const auto& document : sale.documents) {
    // Revealed bids stay with us until all are: who reveals last must not know more.
    if (sale.state == State::kOpen && document.type != wire::AuctionCall::kType) continue;
    if (sale.state == State::kRevealing && document.type == wire::AuctionBid::kType) continue;
    documents.emplace_back(document.to_json());
  }
  return documents;
}

Status Sales::commit(const wire::Envelope& envelope, const std::string& host) {
  ICON_TRY(const auto commit, wire::open<wire::AuctionCommit>(envelope));
  const auto found = std::find_if(sales_.begin(), sales_.end(),
                                  [&](const auto& each) { return each.first == commit.auction; });
  if (found == sales_.end()) return fail(Code::kNotFound, "no such sale here");
  auto& [id, sale] = *found;
  const auto party = commit.party.id();
  if (const auto known = sale.commits.find(party); known != sale.commits.end()) {
    if (known->second == commit.bid_digest) return {};
    return fail(Code::kConflict, "this party has committed to another bid");
  }
  // What is sold in an exchange is somebody else's.
  if (sale.call.rule == Rule::kUniform) ICON_CHECK(market_.check_open());
  const auto now_ms = clock_.utc_ms();
  if (sale.state != State::kOpen || now_ms >= sale.call.commit_until_ms ||
      commit.issued_ms >= sale.call.commit_until_ms)
    return fail(Code::kExpired, "this sale takes no more bids");
  // Hosts speak for themselves and sell; ICONs come through theirs, and buy.
  if (sale.call.rule == Rule::kDouble && party == host && !is_seller(commit.party))
    return fail(Code::kRefused, "this host is none of the exchange's sellers");
  if (sale.commits.size() >= kPartiesMax) return fail(Code::kLimit, "this sale is full");
  const auto through = sale.hosts.find(host);
  if (through != sale.hosts.end() && through->second >= kPartiesPerHost)
    return fail(Code::kLimit, "through your host there are bids enough");
  for (const auto& [other, digest] : sale.commits)
    if (digest == commit.bid_digest) return fail(Code::kConflict, "that bid is another's");
  Sale after = sale;
  ++after.hosts[host];
  ICON_CHECK(add(id, after, envelope));
  sale = std::move(after);
  return {};
}

Result<wire::Envelope> Sales::reveal(const wire::Envelope& envelope) {
  ICON_TRY(const auto bid, wire::open<wire::AuctionBid>(envelope));
  const auto found = std::find_if(sales_.begin(), sales_.end(),
                                  [&](const auto& each) { return each.first == bid.auction; });
  if (found == sales_.end()) return fail(Code::kNotFound, "no such sale here");
  auto& [id, sale] = *found;
  const auto digest = envelope.digest();
  const auto committed = sale.commits.find(bid.party.id());
  if (committed == sale.commits.end() || committed->second != digest)
    return fail(Code::kNotFound, "nobody has committed to this bid");
  if (sale.call.rule == Rule::kDouble && bid.side == wire::AuctionBid::Side::kSell &&
      !is_seller(bid.party))
    return fail(Code::kRefused, "only the exchange's sellers sell here");
  if (const auto known = sale.acks.find(digest); known != sale.acks.end())
    return wire::parse_envelope(known->second);
  const auto now_ms = clock_.utc_ms();
  if (sale.state == State::kOpen)
    return fail(Code::kConflict, "bids are sealed until the sale has closed");
  if (sale.state != State::kRevealing || now_ms >= sale.call.reveal_until_ms)
    return fail(Code::kExpired, "the time for reveals is over");
  const wire::AuctionAck ack{id, key_.public_key(), digest, now_ms};
  ICON_TRY(auto sealed, wire::seal(key_, ack));
  // The bid with its acknowledgement, or neither.
  Sale after = sale;
  after.documents.push_back(envelope);
  ICON_CHECK(add(id, after, sealed));
  sale = std::move(after);
  return sealed;
}

Result<wire::Envelope> Sales::claim(const std::string& id, const std::string& icon) {
  const auto found = std::find_if(sales_.begin(), sales_.end(),
                                  [&](const auto& each) { return each.first == id; });
  if (found == sales_.end()) return fail(Code::kNotFound, "no such sale here");
  auto& sale = found->second;
  if (sale.call.rule == Rule::kDouble)
    return fail(Code::kNotFound, "an exchange has no slots: claim it from the seller");
  if (sale.state != State::kOver) return fail(Code::kConflict, "this sale has no outcome yet");
  if (std::find(sale.winners.begin(), sale.winners.end(), icon) == sale.winners.end())
    return fail(Code::kRefused, "this ICON has won nothing here");
  if (const auto known = sale.offers.find(icon); known != sale.offers.end())
    return wire::parse_envelope(known->second);
  const auto now_ms = clock_.utc_ms();
  if (now_ms >= sale.call.reveal_until_ms + kClaimWithin.count())
    return fail(Code::kExpired, "it was not claimed in time");
  ICON_TRY(auto offer, market_.offer_of_sale({id, icon}, sale.call.resources,
                                             sale.call.slot_seconds, sale.price));
  Sale after = sale;
  after.offers[icon] = boost::json::serialize(offer.to_json());
  ICON_CHECK(put(id, after));
  sale = std::move(after);
  return offer;
}

}  // namespace icon::supervisor
