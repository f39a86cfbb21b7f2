// An ICON shops at another provider, through its own host, over the real API:
//
//   icon-core-<pid>a 192.0.2.10 (the ICON's host) --veth-- icon-core-<pid>b 192.0.2.20 (a seller)
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/encoding.h"
#include "base/keys.h"
#include "budget/ledger/prov.h"
#include "budget/ledger/sqlite_ledger_store.h"
#include "tests/netns/supervisor_host.h"
#include "wire/documents.h"

namespace icon::test {

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

}  // namespace icon::test
