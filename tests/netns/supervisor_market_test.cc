// An ICON shops at another provider: the world is drawn in supervisor_market_world.h.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "tests/netns/supervisor_market_world.h"
#include "wire/birth.h"
#include "wire/ping.h"
#include "wire/tenancy.h"

namespace icon::test {
namespace {

using ::testing::HasSubstr;

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

TEST_F(SupervisorMarketTest, ACordonedHostSaysWhyAndLastsOverARestart) {
  ASSERT_EQ(b_.ask("POST", "/v1/cordon", R"({"reason":"new kernel"})")->status, 200);
  b_.stop(SIGKILL);
  b_.start();
  EXPECT_EQ(b_.get("/v1/status").at("cordon").as_object().at("reason").as_string(), "new kernel");
  EXPECT_THAT(b_.ask("GET", "/metrics")->body, ::testing::HasSubstr("icon_host_cordoned 1"));
  const auto refused = as_icon("/v1/self/offers", question(b_.id()));
  EXPECT_EQ(refused.status, 403) << refused.body;
  EXPECT_THAT(refused.body, ::testing::HasSubstr("cordoned and takes nothing new: new kernel"));
  b_.run_icon("late", R"(["icon-core-echo","echo","7000"])", "[]", 403);
  // The ICON's own host is another: it may be cordoned, and the ICON buys elsewhere.
  ASSERT_EQ(b_.ask("DELETE", "/v1/cordon")->status, 200);
  EXPECT_TRUE(b_.get("/v1/status").at("cordon").is_null());
  ASSERT_EQ(a_.ask("POST", "/v1/cordon", "{}")->status, 200);
  EXPECT_EQ(a_.state_of("echo"), "running");
  EXPECT_TRUE(ask_offer());
}

TEST_F(SupervisorMarketTest, AnAgentSaysWhatItWouldDoAlsoWhenItIsHeld) {
  const auto plan = [&] {
    const auto answer = a_.ask("POST", "/v1/icons/echo/plan");
    EXPECT_EQ(answer->status, 200) << answer->body;
    const auto object = json::parse_object(answer->body, 1 << 20);
    return object ? *object : json::Object();
  };
  // Nobody uses it.
  EXPECT_EQ(SupervisorHost::text(plan().at("evidence").as_object(), "reason"), "no_users");
  ASSERT_EQ(a_.ask("POST", "/v1/icons/echo/hold")->status, 200);
  const auto held = plan();
  EXPECT_TRUE(held.at("held").as_bool());
  EXPECT_EQ(SupervisorHost::text(held.at("evidence").as_object(), "outcome"), "stay");
  EXPECT_EQ(a_.ask("POST", "/v1/icons/nobody/plan")->status, 404);
  // An answer that nobody waits for, and one for somebody else's question.
  EXPECT_EQ(
      as_icon("/v1/self/plan", {{"request", "x"}, {"evidence", json::Object()}, {"error", ""}})
          .status,
      404);
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
