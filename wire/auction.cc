#include "wire/auction.h"

#include "wire/fields.h"

namespace icon::wire {
namespace {

Result<AuctionCall::Rule> get_rule(const json::Object& body) {
  ICON_TRY(const auto text, json::get_string(body, "rule", 16));
  if (text == "uniform") return AuctionCall::Rule::kUniform;
  if (text == "double") return AuctionCall::Rule::kDouble;
  return fail(Code::kInvalid, "field 'rule' is neither 'uniform' nor 'double'");
}

Result<AuctionBid::Side> get_side(const json::Object& body) {
  ICON_TRY(const auto text, json::get_string(body, "side", 16));
  if (text == "buy") return AuctionBid::Side::kBuy;
  if (text == "sell") return AuctionBid::Side::kSell;
  return fail(Code::kInvalid, "field 'side' is neither 'buy' nor 'sell'");
}

// A deadline that leaves no time is an auction that only its auctioneer can win.
Status check_order(const AuctionCall& call) {
  if (call.issued_ms < call.commit_until_ms && call.commit_until_ms < call.reveal_until_ms &&
      call.reveal_until_ms < call.expires_ms)
    return {};
  return fail(Code::kInvalid, "auction call: its deadlines are not in order");
}

}  // namespace

json::Object AuctionCall::to_json() const {
  return {{"auctioneer", auctioneer.id()},
          {"nonce", nonce},
          {"rule", rule == Rule::kUniform ? "uniform" : "double"},
          {"resources", resources.to_json()},
          {"slot_seconds", slot_seconds},
          {"start_ms", start_ms},
          {"slots", slots},
          {"reserve_ucredits", reserve_ucredits},
          {"deposit_ucredits", deposit_ucredits},
          {"seed_commitment", seed_commitment},
          {"issued_ms", issued_ms},
          {"commit_until_ms", commit_until_ms},
          {"reveal_until_ms", reveal_until_ms},
          {"expires_ms", expires_ms}};
}

Result<AuctionCall> AuctionCall::from_json(const json::Object& body) {
  AuctionCall call;
  ICON_TRY(call.auctioneer, get_key(body, "auctioneer"));
  ICON_TRY(call.nonce, get_token(body, "nonce"));
  ICON_TRY(call.rule, get_rule(body));
  ICON_TRY(call.resources, get_resources(body));
  ICON_TRY(call.slot_seconds, json::get_int(body, "slot_seconds", 1, kSlotSecondsMax));
  ICON_TRY(call.start_ms, get_time(body, "start_ms"));
  ICON_TRY(call.slots, json::get_int(body, "slots", 0, kAuctionSlotsMax));
  ICON_TRY(call.reserve_ucredits, get_money(body, "reserve_ucredits"));
  ICON_TRY(call.deposit_ucredits, json::get_int(body, "deposit_ucredits", 0, kAuctionDepositMax));
  ICON_TRY(call.seed_commitment, get_digest(body, "seed_commitment"));
  ICON_TRY(call.commit_until_ms, get_time(body, "commit_until_ms"));
  ICON_TRY(call.reveal_until_ms, get_time(body, "reveal_until_ms"));
  ICON_CHECK(read_times(body, call));
  ICON_CHECK(check_order(call));
  const auto& unit = call.resources;
  if (call.rule == Rule::kDouble &&
      (unit.cpu_millis < 1 || unit.memory_bytes < 1 || unit.bandwidth_bps < 1))
    return fail(Code::kInvalid, "auction call: the grid's unit has a side of length 0");
  if (call.rule == Rule::kUniform && call.slots < 1)
    return fail(Code::kInvalid, "auction call: it sells no slot");
  return call;
}

json::Object AuctionBid::to_json() const {
  return {{"auction", auction},
          {"party", party.id()},
          {"side", side == Side::kBuy ? "buy" : "sell"},
          {"resources", resources.to_json()},
          {"start_ms", start_ms},
          {"slot_seconds", slot_seconds},
          {"price_ucredits", price_ucredits},
          {"nonce", nonce}};
}

Result<AuctionBid> AuctionBid::from_json(const json::Object& body) {
  AuctionBid bid;
  ICON_TRY(bid.auction, get_digest(body, "auction"));
  ICON_TRY(bid.party, get_key(body, "party"));
  ICON_TRY(bid.side, get_side(body));
  ICON_TRY(bid.resources, get_resources(body));
  ICON_TRY(bid.start_ms, get_time(body, "start_ms"));
  ICON_TRY(bid.slot_seconds, json::get_int(body, "slot_seconds", 1, kSlotSecondsMax));
  ICON_TRY(bid.price_ucredits, get_money(body, "price_ucredits"));
  ICON_TRY(bid.nonce, get_token(body, "nonce"));
  return bid;
}

json::Object AuctionCommit::to_json() const {
  return {{"auction", auction},
          {"party", party.id()},
          {"bid_digest", bid_digest},
          {"issued_ms", issued_ms}};
}

Result<AuctionCommit> AuctionCommit::from_json(const json::Object& body) {
  AuctionCommit commit;
  ICON_TRY(commit.auction, get_digest(body, "auction"));
  ICON_TRY(commit.party, get_key(body, "party"));
  ICON_TRY(commit.bid_digest, get_digest(body, "bid_digest"));
  ICON_TRY(commit.issued_ms, get_time(body, "issued_ms"));
  return commit;
}

json::Object AuctionClose::to_json() const {
  return {{"auction", auction},         {"auctioneer", auctioneer.id()},
          {"commits", commits},         {"commits_digest", commits_digest},
          {"seed_secret", seed_secret}, {"issued_ms", issued_ms}};
}

Result<AuctionClose> AuctionClose::from_json(const json::Object& body) {
  AuctionClose close;
  ICON_TRY(close.auction, get_digest(body, "auction"));
  ICON_TRY(close.auctioneer, get_key(body, "auctioneer"));
  ICON_TRY(close.commits, json::get_int(body, "commits", 0, kAuctionPartiesMax));
  ICON_TRY(close.commits_digest, get_digest(body, "commits_digest"));
  ICON_TRY(close.seed_secret, get_digest(body, "seed_secret"));
  ICON_TRY(close.issued_ms, get_time(body, "issued_ms"));
  return close;
}

json::Object AuctionAck::to_json() const {
  return {{"auction", auction},
          {"auctioneer", auctioneer.id()},
          {"bid_digest", bid_digest},
          {"received_ms", received_ms}};
}

Result<AuctionAck> AuctionAck::from_json(const json::Object& body) {
  AuctionAck ack;
  ICON_TRY(ack.auction, get_digest(body, "auction"));
  ICON_TRY(ack.auctioneer, get_key(body, "auctioneer"));
  ICON_TRY(ack.bid_digest, get_digest(body, "bid_digest"));
  ICON_TRY(ack.received_ms, get_time(body, "received_ms"));
  return ack;
}

json::Object AuctionOutcome::to_json() const {
  return {{"auction", auction},
          {"auctioneer", auctioneer.id()},
          {"close_digest", close_digest},
          {"clearing_digest", clearing_digest},
          {"trades", trades},
          {"issued_ms", issued_ms}};
}

Result<AuctionOutcome> AuctionOutcome::from_json(const json::Object& body) {
  AuctionOutcome outcome;
  ICON_TRY(outcome.auction, get_digest(body, "auction"));
  ICON_TRY(outcome.auctioneer, get_key(body, "auctioneer"));
  ICON_TRY(outcome.close_digest, get_digest(body, "close_digest"));
  ICON_TRY(outcome.clearing_digest, get_digest(body, "clearing_digest"));
  ICON_TRY(outcome.trades, json::get_int(body, "trades", 0, kAuctionPartiesMax));
  ICON_TRY(outcome.issued_ms, get_time(body, "issued_ms"));
  return outcome;
}

}  // namespace icon::wire
