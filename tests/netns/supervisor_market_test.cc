// An ICON shops at another provider, through its own host, over the real API:
//
//   icon-core-<pid>a 192.0.2.10 (the ICON's host) --veth-- icon-core-<pid>b 192.0.2.20 (a seller)
#include <sys/stat.h>

#include <map>

#include "base/encoding.h"
#include "base/keys.h"
#include "budget/auction/cell.h"
#include "budget/auction/record.h"
#include "budget/ledger/prov.h"
#include "budget/ledger/sqlite_ledger_store.h"
#include "tests/netns/supervisor_host.h"
#include "wire/birth.h"
#include "wire/ping.h"
#include "wire/tenancy.h"

namespace icon::test {
namespace {

class SupervisorMarketTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SupervisorHost::join(a_, b_);
    a_.start();
    b_.start();
    const auto icon = a_.run_icon("echo", R"(["icon-core-echo","echo","7000"])", "[]");
    const auto id = SupervisorHost::text(icon, "id");
    ASSERT_FALSE(id.empty());
    socket_ = a_.icon_dir(id) + "/run/supervisor.sock";
    auto key = KeyPair::load(a_.icon_dir(id) + "/run/icon.key", false);
    ASSERT_TRUE(key) << key.error().message;
    key_.emplace(std::move(*key));
    EXPECT_EQ(key_->id(), id);
  }
  void TearDown() override {
    EXPECT_TRUE(a_.ask("DELETE", "/v1/icons/echo?grace_ms=2000"));
    EXPECT_EQ(a_.left_overs(), "");
  }

  http::Response as_icon(const std::string& target, const json::Object& body) {
    const auto answer = a_.ask("POST", target, boost::json::serialize(body), socket_);
    return answer ? *answer : http::Response{0, "", answer.error().message};
  }
  json::Object question(const std::string& id, std::int64_t cpu_millis = 500) {
    return {{"api", b_.api()},
            {"id", id},
            {"nonce", random_token(12)},
            {"resources", wire::Resources{cpu_millis, 1'000'000, 1'000}.to_json()},
            {"slot_seconds", 600}};
  }
  Result<wire::Envelope> ask_offer() {
    const auto answer = as_icon("/v1/self/offers", question(b_.id()));
    EXPECT_EQ(answer.status, 200) << answer.body;
    ICON_TRY(const auto object, json::parse_object(answer.body, 1 << 20));
    EXPECT_EQ(SupervisorHost::text(object, "observed_id"), b_.id());
    EXPECT_GT(object.at("connect_rtt_us").as_int64() + 1, 0);
    return wire::parse_envelope(object.at("offer"));
  }
  wire::Bid bid_on(const wire::Envelope& envelope) {
    const auto offer = *wire::open<wire::Offer>(envelope);
    wire::Bid bid;
    bid.icon = key_->public_key();
    bid.provider = offer.provider;
    bid.offer_digest = envelope.digest();
    bid.resources = offer.resources;
    bid.slot_seconds = offer.slot_seconds;
    bid.price_ucredits = offer.price_ucredits;
    bid.epoch = 2;
    bid.nonce = random_token(12);
    bid.issued_ms = offer.issued_ms;
    bid.expires_ms = offer.expires_ms;
    return bid;
  }
  // The documents in a ledger by kind, once it is proved and its provenance is valid.
  static std::map<std::string, std::int64_t> ledger(const std::string& path) {
    namespace ledger = budget::ledger;
    ledger::Report report;
    auto store = ledger::SqliteLedgerStore::open(path);
    EXPECT_TRUE(store) << store.error().message;
    if (!store) return {};
    const auto entries = ledger::verified_entries(*store, report);
    EXPECT_TRUE(entries) << entries.error().message;
    if (!entries) return {};
    const auto valid = ledger::check_prov(ledger::to_prov(*entries));
    EXPECT_TRUE(valid) << valid.error().message;
    return report.types;
  }
  std::string lease_role(SupervisorHost& host) {
    const auto leases = host.get("/v1/leases").at("leases").as_array();
    if (leases.empty()) return "none";
    const auto& lease = leases.at(0).as_object();
    return SupervisorHost::text(lease, "role") + " " + SupervisorHost::text(lease, "state");
  }

  SupervisorHost a_{"a", "192.0.2.10"};
  SupervisorHost b_{"b", "192.0.2.20"};
  std::string socket_;
  std::optional<KeyPair> key_;
};

TEST_F(SupervisorMarketTest, AnOfferBecomesALease) {
  const auto offer = ask_offer();
  ASSERT_TRUE(offer) << offer.error().message;
  const auto bid = *wire::seal(*key_, bid_on(*offer));
  const auto answer = as_icon(
      "/v1/self/leases",
      {{"api", b_.api()}, {"id", b_.id()}, {"bid", bid.to_json()}, {"offer", offer->to_json()}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  const auto object = *json::parse_object(answer.body, 1 << 20);
  const auto lease = wire::open<wire::Lease>(*wire::parse_envelope(object.at("lease")));
  ASSERT_TRUE(lease) << lease.error().message;
  EXPECT_TRUE(lease->verified_bid());
  EXPECT_EQ(lease->provider.id(), b_.id());
  EXPECT_EQ(lease_role(a_), "bought active");
  EXPECT_EQ(lease_role(b_), "sold held");
  EXPECT_EQ(b_.get("/v1/status").at("free").at("cpu_millis"), 1'500);
  // The seller forgets nothing over a kill.
  b_.stop(SIGKILL);
  b_.start();
  EXPECT_EQ(lease_role(b_), "sold held");
  // Given back, it leaves a receipt; both are in the seller's ledger.
  EXPECT_EQ(ledger(b_.directory() + "/state/ledger.db")["lease"], 1);
  EXPECT_EQ(ledger(b_.directory() + "/state/ledger.db")["life"], 1);
}

TEST_F(SupervisorMarketTest, ASlotIsLockedThenBoughtThenGivenBack) {
  const auto offer = ask_offer();
  ASSERT_TRUE(offer) << offer.error().message;
  const auto bid = *wire::seal(*key_, bid_on(*offer));
  const json::Object wish{{"api", b_.api()}, {"bid", bid.to_json()}, {"offer", offer->to_json()}};
  const auto locked = as_icon("/v2/self/reservations", wish);
  ASSERT_EQ(locked.status, 200) << locked.body;
  EXPECT_EQ(lease_role(b_), "sold reserved");
  EXPECT_EQ(lease_role(a_), "none");
  EXPECT_EQ(b_.get("/v1/status").at("free").at("cpu_millis"), 1'500);
  const auto reservation =
      *wire::parse_envelope(json::parse_object(locked.body, 1 << 20)->at("reservation"));
  const auto yes = [&](const KeyPair& key) {
    const wire::Confirmation body{key.public_key(), reservation.digest(),
                                  wire::open<wire::Bid>(bid)->issued_ms};
    return json::Object{{"api", b_.api()},
                        {"reservation", reservation.to_json()},
                        {"confirmation", wire::seal(key, body)->to_json()}};
  };
  EXPECT_EQ(as_icon("/v2/self/leases", yes(KeyPair::generate())).status, 401);
  EXPECT_EQ(as_icon("/v2/self/leases", {{"api", b_.api()}}).status, 400);
  wire::Renewal renewal;
  renewal.icon = key_->public_key();
  renewal.provider = key_->public_key();
  renewal.lease_id = "none";
  renewal.sequence = renewal.seconds = 1;
  const auto renew = [&](const KeyPair& key) {
    renewal.icon = key.public_key();
    return as_icon("/v2/self/renewals", {{"renewal", wire::seal(key, renewal)->to_json()}}).status;
  };
  EXPECT_EQ(renew(KeyPair::generate()), 401);
  EXPECT_EQ(renew(*key_), 404);
  // A seller that is killed in between has not forgotten the lock.
  b_.stop(SIGKILL);
  b_.start();
  const auto sold = as_icon("/v2/self/leases", yes(*key_));
  ASSERT_EQ(sold.status, 200) << sold.body;
  EXPECT_EQ(as_icon("/v2/self/leases", yes(*key_)).body, sold.body);
  EXPECT_EQ(lease_role(b_), "sold held");
  EXPECT_EQ(lease_role(a_), "bought active");
  const auto documents = ledger(b_.directory() + "/state/ledger.db");
  for (const char* kind : {"lease", "reservation", "confirmation", "lease_terms"})
    EXPECT_EQ(documents.count(kind), 1U) << kind;
}

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

// An ICON buys for a replica with its signed word for it, and for nobody else with anybody's.
TEST_F(SupervisorMarketTest, ASlotIsBoughtForAReplica) {
  const auto offer = ask_offer();
  ASSERT_TRUE(offer) << offer.error().message;
  const auto child = KeyPair::generate();
  const auto stranger = KeyPair::generate();
  auto wanted = bid_on(*offer);
  wanted.icon = child.public_key();
  wanted.epoch = 1;
  const auto bid = *wire::seal(child, wanted);
  wire::Birth good;
  good.parent = key_->public_key();
  good.child = child.public_key();
  good.migration_id = wanted.nonce;
  good.parent_epoch = 1;
  good.issued_ms = wanted.issued_ms;
  good.expires_ms = wanted.issued_ms + 60'000;
  json::Object wish{{"api", b_.api()}, {"bid", bid.to_json()}, {"offer", offer->to_json()}};
  const auto reserve_with = [&](const KeyPair& signer, const wire::Birth& birth) {
    wish["birth"] = wire::seal(signer, birth)->to_json();
    return as_icon("/v2/self/reservations", wish);
  };
  EXPECT_EQ(as_icon("/v2/self/reservations", wish).status, 401);
  auto others = good;
  others.parent = stranger.public_key();
  EXPECT_EQ(reserve_with(stranger, others).status, 401);
  EXPECT_EQ(reserve_with(stranger, good).status, 401);
  EXPECT_EQ(reserve_with(child, good).status, 401);
  auto siblings = good;
  siblings.child = stranger.public_key();
  EXPECT_EQ(reserve_with(*key_, siblings).status, 401);
  auto over = good;
  over.issued_ms -= 3'600'000;
  over.expires_ms = over.issued_ms + 1;
  EXPECT_NE(reserve_with(*key_, over).status, 200);
  EXPECT_EQ(lease_role(b_), "none");

  const auto locked = reserve_with(*key_, good);
  ASSERT_EQ(locked.status, 200) << locked.body;
  const auto reservation =
      *wire::parse_envelope(json::parse_object(locked.body, 1 << 20)->at("reservation"));
  const auto yes = [&](const KeyPair& signer) {
    const wire::Confirmation body{signer.public_key(), reservation.digest(), wanted.issued_ms};
    return json::Object{{"api", b_.api()},
                        {"reservation", reservation.to_json()},
                        {"confirmation", wire::seal(signer, body)->to_json()}};
  };
  EXPECT_EQ(as_icon("/v2/self/leases", yes(child)).status, 401);  // without the word
  auto parents = yes(*key_);
  parents["birth"] = wish["birth"];
  EXPECT_EQ(as_icon("/v2/self/leases", parents).status, 401);  // the slot is the child's
  auto childs = yes(child);
  childs["birth"] = wish["birth"];
  const auto sold = as_icon("/v2/self/leases", childs);
  ASSERT_EQ(sold.status, 200) << sold.body;
  EXPECT_EQ(lease_role(b_), "sold held");
  EXPECT_EQ(lease_role(a_), "bought active");
}

TEST_F(SupervisorMarketTest, AnIconsLedgerIsReadByItsName) {
  const auto copy = a_.directory() + "/copy.db";
  ASSERT_TRUE(test::eventually([&] {
    const auto answer = a_.ask("GET", "/v1/icons/echo/ledger");
    return answer && answer->status == 200 && write_file_atomic(copy, answer->body, 0600) &&
           budget::ledger::SqliteLedgerStore::open(copy) && ledger(copy)["life"] == 2;
  }));
  // The host has joined, the ICON has; there is no older file, and no way out of its directory.
  EXPECT_EQ(a_.ask("GET", "/v1/icons/echo/ledger?before=1")->status, 404);
  const auto state = a_.icon_dir(key_->id()) + "/run/state/";
  std::filesystem::remove(state + "ledger.db");
  std::filesystem::create_symlink("/etc/hostname", state + "ledger.db");
  EXPECT_NE(a_.ask("GET", "/v1/icons/echo/ledger")->status, 200);
  std::filesystem::remove(state + "ledger.db");
  ASSERT_EQ(mkfifo((state + "ledger.db").c_str(), 0600), 0);
  EXPECT_EQ(a_.ask("GET", "/v1/icons/echo/ledger")->status, 404);
}

TEST_F(SupervisorMarketTest, AWrongKeyIsNamedOnBothSides) {
  const auto expected = KeyPair::generate();
  const auto answer = as_icon("/v1/self/offers", question(expected.id()));
  EXPECT_EQ(answer.status, 401) << answer.body;
  EXPECT_NE(answer.body.find("\"unauthenticated\""), std::string::npos);
  EXPECT_NE(answer.body.find(expected.id()), std::string::npos);
  EXPECT_NE(answer.body.find(b_.id()), std::string::npos);
}

// The seller measures the round trip to whom the ICON names, signs it, and keeps to its limits.
TEST_F(SupervisorMarketTest, ASellerPingsForAnIcon) {
  const auto ask = [&](std::vector<Address> targets, const KeyPair& by) {
    wire::PingRequest request;
    request.icon = by.public_key();
    request.provider = *PublicKey::from_id(b_.id());
    request.targets = std::move(targets);
    request.nonce = random_token(12);
    request.issued_ms = SystemClock().utc_ms();
    request.expires_ms = request.issued_ms + 30'000;
    const auto envelope = *wire::seal(by, request);
    const auto answer = as_icon(
        "/v1/self/pings", {{"api", b_.api()}, {"id", b_.id()}, {"request", envelope.to_json()}});
    return std::pair(answer, envelope.digest());
  };
  const auto [answer, digest] =
      ask({*Address::parse("192.0.2.10"), *Address::parse("127.0.0.1")}, *key_);
  ASSERT_EQ(answer.status, 200) << answer.body;
  const auto object = json::parse_object(answer.body, 1 << 20);
  ASSERT_TRUE(object);
  const auto report = wire::open<wire::PingReport>(*wire::parse_envelope(object->at("report")));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->provider.id(), b_.id());
  EXPECT_EQ(report->request_digest, digest);
  ASSERT_EQ(report->figures.size(), 2u);
  EXPECT_TRUE(report->figures[0].rtt_us);
  EXPECT_FALSE(report->figures[1].rtt_us);
  EXPECT_EQ(report->figures[1].refused, "not a public address");

  EXPECT_EQ(ask({*Address::parse("192.0.2.10")}, KeyPair::generate()).first.status, 401)
      << "signed by somebody else";
  std::vector<Address> many;
  for (std::uint32_t i = 0; i < wire::kPingTargetsMax; ++i)
    many.push_back(Address::v4(0x0a000000u + i));  // none of them is pinged
  int status = 200;
  for (int i = 0; i < 3 && status == 200; ++i) status = ask(many, *key_).first.status;
  EXPECT_EQ(status, 413);
  const auto metrics = b_.ask("GET", "/metrics");
  ASSERT_TRUE(metrics);
  EXPECT_NE(metrics->body.find("icon_ping_targets_total{outcome=\"answered\"} 1"),
            std::string::npos)
      << metrics->body;
}

TEST_F(SupervisorMarketTest, WhatDoesNotWorkSaysWhy) {
  EXPECT_EQ(as_icon("/v1/self/offers", question(b_.id(), 9'000)).status, 413);
  auto nobody = question("");
  nobody["api"] = "192.0.2.10:1";
  EXPECT_EQ(as_icon("/v1/self/offers", nobody).status, 502);
  EXPECT_EQ(as_icon("/v1/self/offers", {{"api", "x"}}).status, 400);
  const auto offer = ask_offer();
  ASSERT_TRUE(offer);
  const auto stranger = KeyPair::generate();
  auto bid = bid_on(*offer);
  bid.icon = stranger.public_key();
  const json::Object order{{"api", b_.api()},
                           {"id", b_.id()},
                           {"bid", wire::seal(stranger, bid)->to_json()},
                           {"offer", offer->to_json()}};
  EXPECT_EQ(as_icon("/v1/self/leases", order).status, 401);
  EXPECT_EQ(lease_role(b_), "none");
}

TEST_F(SupervisorMarketTest, DecisionsAreKept) {
  const auto answer = as_icon(
      "/v1/self/decisions",
      {{"decision", "d1"}, {"outcome", "stay"}, {"evidence", json::Object{{"why", "cheap"}}}});
  EXPECT_EQ(answer.status, 204) << answer.body;
  const auto decisions = a_.get("/v1/decisions?icon=echo").at("decisions").as_array();
  bool found = false;
  for (const auto& decision : decisions)
    found = found || (decision.at("outcome") == "stay" &&
                      decision.at("evidence").as_object().if_contains("why") != nullptr);
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace icon::test
