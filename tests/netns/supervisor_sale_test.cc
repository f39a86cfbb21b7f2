// Sealed bids over the real API: at one provider, and in an exchange. The world is drawn in
// supervisor_market_world.h.
#include "budget/auction/cell.h"
#include "budget/auction/record.h"
#include "tests/netns/supervisor_market_world.h"

namespace icon::test {
namespace {

// Two ICONs and a scarce slot: sealed bids over the wire, the second price, and a lease for it.
class SupervisorSaleTest : public SupervisorMarketTest {
 protected:
  void SetUp() override {
    b_.write_config(
        "sealed_bids: {slots: 1, cpu_millis: 500, memory_bytes: 1000000, bandwidth_bps: 1000, "
        "slot_seconds: 600, every_ms: 500, bid_ms: 1500, reveal_ms: 1500, reserve_ucredits: 10, "
        "deposit_ucredits: 5}\n");
    SupervisorMarketTest::SetUp();
    const auto icon = a_.run_icon("echo2", R"(["icon-core-echo","echo","7001"])", "[]");
    other_id_ = SupervisorHost::text(icon, "id");
    auto key = KeyPair::load(a_.icon_dir(other_id_) + "/run/icon.key", false);
    ASSERT_TRUE(key) << key.error().message;
    other_.emplace(std::move(*key));
  }
  void TearDown() override {
    EXPECT_TRUE(a_.ask("DELETE", "/v1/icons/echo2?grace_ms=2000"));
    SupervisorMarketTest::TearDown();
  }
  http::Response ask(const KeyPair& who, json::Object body) {
    body["api"] = b_.api();
    body["id"] = b_.id();
    const auto answer = a_.ask("POST", "/v2/self/sales", boost::json::serialize(body),
                               a_.icon_dir(who.id()) + "/run/supervisor.sock");
    return answer ? *answer : http::Response{0, "", answer.error().message};
  }
  json::Object answer_to(const KeyPair& who, json::Object body) {
    const auto answer = ask(who, std::move(body));
    EXPECT_EQ(answer.status, 200) << answer.body;
    return json::parse_object(answer.body, 1 << 20).value_or(json::Object{});
  }
  std::string state_of(const std::string& sale) {
    const auto answer = b_.get("/v1/sales");
    for (const auto& row : answer.at("sales").as_array())
      if (row.at("sale").as_string() == sale) return std::string(row.at("state").as_string());
    return "";
  }

  std::string other_id_;
  std::optional<KeyPair> other_;
};

TEST_F(SupervisorSaleTest, TheHighestSealedBidWinsAtTheSecondPrice) {
  EXPECT_EQ(b_.get("/v1/status").at("free").at("cpu_millis"), 1'500) << "one is set aside";
  // A fresh call, so that there is time for all.
  std::string sale;
  wire::AuctionCall call;
  ASSERT_TRUE(test::eventually([&] {
    const auto sales = answer_to(*key_, {{"what", "list"}}).at("sales").as_array();
    if (sales.empty() || sales.back().at("state").as_string() != "open") return false;
    call = *wire::open<wire::AuctionCall>(*wire::parse_envelope(sales.back().at("call")));
    sale = std::string(sales.back().at("sale").as_string());
    return call.commit_until_ms - SystemClock().utc_ms() > 1'000;
  }));
  EXPECT_EQ(call.auctioneer.id(), b_.id());
  const auto bid_of = [&](const KeyPair& who, wire::MicroCredits price) {
    wire::AuctionBid bid{sale,           who.public_key(), wire::AuctionBid::Side::kBuy,
                         call.resources, call.start_ms,    call.slot_seconds,
                         price,          random_token(18)};
    return *wire::seal(who, bid);
  };
  const auto commit_of = [&](const KeyPair& who, const wire::Envelope& bid) {
    const wire::AuctionCommit commit{sale, who.public_key(), bid.digest(), SystemClock().utc_ms()};
    return json::Object{
        {"what", "commit"}, {"sale", sale}, {"commit", wire::seal(who, commit)->to_json()}};
  };
  const auto high = bid_of(*key_, 900);
  const auto low = bid_of(*other_, 400);
  answer_to(*key_, commit_of(*key_, high));
  answer_to(*key_, commit_of(*key_, high));  // the same again
  answer_to(*other_, commit_of(*other_, low));
  EXPECT_EQ(ask(*key_, commit_of(*key_, bid_of(*key_, 901))).status, 409);
  EXPECT_EQ(ask(*key_, commit_of(*other_, low)).status, 401) << "another's commit";
  const auto reveal = [&](const wire::Envelope& bid) {
    return json::Object{{"what", "reveal"}, {"sale", sale}, {"bid", bid.to_json()}};
  };
  EXPECT_EQ(ask(*key_, reveal(high)).status, 409) << "sealed until the close";
  EXPECT_EQ(ask(*key_, {{"what", "claim"}, {"sale", sale}}).status, 409);
  EXPECT_EQ(ask(*key_, {{"what", "documents"}, {"sale", "../x"}}).status, 400);
  ASSERT_TRUE(test::eventually([&] { return state_of(sale) == "revealing"; }));
  const auto ack = answer_to(*key_, reveal(high));
  answer_to(*other_, reveal(low));
  ASSERT_TRUE(test::eventually([&] { return state_of(sale) == "over"; }));

  // Every party computes it again from the documents.
  std::vector<wire::Envelope> documents;
  const auto shown = answer_to(*other_, {{"what", "documents"}, {"sale", sale}});
  for (const auto& value : shown.at("documents").as_array())
    documents.push_back(*wire::parse_envelope(value));
  documents.push_back(high);
  documents.push_back(*wire::parse_envelope(ack.at("ack")));
  const auto found = budget::auction::conclude(documents);
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_TRUE(found->outcome);
  ASSERT_EQ(found->clearing.trades(), 1U);
  EXPECT_EQ(found->clearing.clusters[0].price, 400);
  EXPECT_EQ(found->clearing.clusters[0].trades[0].buyer, key_->public_key());

  EXPECT_EQ(ask(*other_, {{"what", "claim"}, {"sale", sale}}).status, 403);
  const auto claimed = answer_to(*key_, {{"what", "claim"}, {"sale", sale}});
  const auto offer = *wire::parse_envelope(claimed.at("offer"));
  EXPECT_EQ(wire::open<wire::Offer>(offer)->price_ucredits, 400);
  auto stolen = bid_on(offer);
  stolen.icon = other_->public_key();
  const json::Object theft{{"api", b_.api()},
                           {"bid", wire::seal(*other_, stolen)->to_json()},
                           {"offer", offer.to_json()}};
  EXPECT_EQ(a_.ask("POST", "/v2/self/reservations", boost::json::serialize(theft),
                   a_.icon_dir(other_id_) + "/run/supervisor.sock")
                ->status,
            403);
  const auto bid = *wire::seal(*key_, bid_on(offer));
  const auto locked =
      as_icon("/v2/self/reservations",
              {{"api", b_.api()}, {"bid", bid.to_json()}, {"offer", offer.to_json()}});
  EXPECT_EQ(locked.status, 200) << locked.body;
  EXPECT_EQ(lease_role(b_), "sold reserved");
  EXPECT_EQ(b_.get("/v1/status").at("free").at("cpu_millis"), 1'500) << "it was set aside";
  EXPECT_EQ(ledger(b_.directory() + "/state/ledger.db")["auction_outcome"], 1);
}

// Two providers sell at an exchange, which one of them conducts; an ICON has the cheaper slot for
// what the dearer one asks.
class SupervisorExchangeTest : public SupervisorMarketTest {
 protected:
  static constexpr auto kSlot = "cpu_millis: 500, memory_bytes: 1000000, bandwidth_bps: 1000";
  void SetUp() override {
    // Who they are is known once they have begun.
    a_.start();
    b_.start();
    const auto at = "{id: " + b_.id() + ", api: \"" + b_.api() + "\"}";
    const auto bids = [&](const std::string& ask) {
      return std::string("sealed_bids: {slots: 1, ") + kSlot + ", slot_seconds: 600, " +
             "reserve_ucredits: " + ask + ", exchange: " + at + "}\n";
    };
    a_.stop(SIGTERM);
    b_.stop(SIGTERM);
    a_.write_config(bids("70"));
    b_.write_config(bids("40") + "exchange: {" + kSlot +
                    ", slot_seconds: 600, every_ms: 500, bid_ms: 2000, reveal_ms: 2000, "
                    "deposit_ucredits: 5, sellers: [" +
                    a_.id() + ", " + b_.id() + "]}\n");
    SupervisorMarketTest::SetUp();
  }
  json::Object sales(json::Object body) {
    body["api"] = b_.api();
    body["id"] = b_.id();
    const auto answer = as_icon("/v2/self/sales", body);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return json::parse_object(answer.body, 1 << 20).value_or(json::Object{});
  }
};

TEST_F(SupervisorExchangeTest, AnIconHasTheCheaperSlotAtTheDearersPrice) {
  const auto pointer = sales({{"what", "list"}});
  EXPECT_EQ(pointer.at("exchange").at("id").as_string(), b_.id());
  EXPECT_EQ(pointer.at("sellers").as_array().size(), 2U);
  // In a call to which both have committed there is still time for us.
  std::string sale;
  wire::AuctionCall call;
  ASSERT_TRUE(test::eventually([&] {
    const auto rows = sales({{"what", "list"}}).at("sales").as_array();
    if (rows.empty() || rows.back().at("state").as_string() != "open" ||
        rows.back().at("commits").as_int64() < 2)
      return false;
    call = *wire::open<wire::AuctionCall>(*wire::parse_envelope(rows.back().at("call")));
    sale = std::string(rows.back().at("sale").as_string());
    return call.commit_until_ms - SystemClock().utc_ms() > 500;
  })) << b_.log();
  EXPECT_EQ(call.rule, wire::AuctionCall::Rule::kDouble);
  const auto bid =
      *wire::seal(*key_, wire::AuctionBid{sale, key_->public_key(), wire::AuctionBid::Side::kBuy,
                                          call.resources, budget::auction::current_window(call),
                                          call.slot_seconds, 900, random_token(18)});
  sales({{"what", "commit"},
         {"sale", sale},
         {"commit", wire::seal(*key_, wire::AuctionCommit{sale, key_->public_key(), bid.digest(),
                                                          SystemClock().utc_ms()})
                        ->to_json()}});
  const auto state = [&] {
    const auto answer = b_.get("/v1/sales");
    for (const auto& row : answer.at("sales").as_array())
      if (row.at("sale").as_string() == sale) return std::string(row.at("state").as_string());
    return std::string();
  };
  ASSERT_TRUE(test::eventually([&] { return state() == "revealing"; }));
  sales({{"what", "reveal"}, {"sale", sale}, {"bid", bid.to_json()}});
  ASSERT_TRUE(test::eventually([&] { return state() == "over"; })) << a_.log() << b_.log();
  std::vector<wire::Envelope> documents;
  const auto shown = sales({{"what", "documents"}, {"sale", sale}});
  for (const auto& value : shown.at("documents").as_array())
    documents.push_back(*wire::parse_envelope(value));
  const auto found = budget::auction::conclude(documents);
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_EQ(found->clearing.trades(), 1U);
  EXPECT_EQ(found->clearing.clusters[0].price, 70);
  EXPECT_EQ(found->clearing.clusters[0].trades[0].seller.id(), b_.id());

  // The seller has to have seen the outcome too.
  const json::Object claim{{"what", "claim"}, {"sale", sale}, {"api", b_.api()}, {"id", b_.id()}};
  http::Response claimed;
  ASSERT_TRUE(test::eventually([&] {
    claimed = as_icon("/v2/self/sales", claim);
    return claimed.status == 200;
  })) << claimed.body;
  const auto offer = *wire::parse_envelope(json::parse_object(claimed.body, 1 << 20)->at("offer"));
  EXPECT_EQ(wire::open<wire::Offer>(offer)->price_ucredits, 70);
  const auto wanted = *wire::seal(*key_, bid_on(offer));
  const auto locked =
      as_icon("/v2/self/reservations",
              {{"api", b_.api()}, {"bid", wanted.to_json()}, {"offer", offer.to_json()}});
  EXPECT_EQ(locked.status, 200) << locked.body;
  EXPECT_EQ(lease_role(b_), "sold reserved");
  // Both sellers can prove it, and whose slot is left asks on.
  for (SupervisorHost* host : {&a_, &b_})
    EXPECT_TRUE(test::eventually(
        [&] { return ledger(host->directory() + "/state/ledger.db")["auction_outcome"] >= 1; }));
  EXPECT_TRUE(test::eventually([&] {
    const auto asks = a_.get("/v1/sales").at("asks").as_array();
    return !asks.empty() && asks.back().at("sale").as_string() != sale;
  }));
}

}  // namespace
}  // namespace icon::test
