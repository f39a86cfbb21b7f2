// The tenant at its host: what it asks in time, whoever else does not answer.
#include "agent/tenant.h"

#include "tests/unit/agent/scripted_host.h"
#include "tests/unit/base/http_rig.h"

namespace icon::agent {
namespace {

constexpr std::int64_t kLeaseSeconds = 100;
constexpr std::int64_t kRenewBeforeMs = 20'000;
// The answer about a bill is waited for so long: 15 s.
constexpr Millis kLessThanABill{10'000};

class TenantTest : public ::testing::Test {
 protected:
  TenantTest() {
    wallet_.emplace(*Wallet::open(directory_ / "purse.db", 1'000, clock_.utc_ms()));
    chronicle_.emplace(*Chronicle::open(directory_.path(), icon_, clock_));
    host_.on("GET", "/v2/self/lease", [this](http::Request) { return papers(); });
    host_.on("POST", "/v2/self/documents", [this](http::Request) { return no_bill(); });
    host_.on("POST", "/v2/self/renewals",
             [this](http::Request request) { return renew(std::move(request)); });
    host_.begin();
  }
  void TearDown() override {
    tenant_.close();
    end_tasks(loop_, tasks_);
    host_.end();
  }

  wire::Envelope lease(const std::string& id) {
    wire::Bid bid;
    bid.icon = icon_.public_key();
    bid.provider = provider_.public_key();
    bid.offer_digest = std::string(64, 'a');
    bid.slot_seconds = kLeaseSeconds;
    bid.price_ucredits = 100;
    bid.epoch = 2;
    bid.nonce = "hold-" + id;
    bid.issued_ms = start_ms_;
    bid.expires_ms = start_ms_ + 1'000;
    wire::Lease lease;
    lease.lease_id = id;
    lease.provider = provider_.public_key();
    lease.bid = *wire::seal(icon_, bid);
    lease.issued_ms = lease.start_ms = start_ms_;
    lease.expires_ms = start_ms_ + kLeaseSeconds * 1'000;
    return *wire::seal(provider_, lease);
  }
  void arrive(const std::string& lease_id) {
    Self self;
    self.icon = icon_.public_key();
    self.supervisor = provider_.public_key();
    self.provider_name = "edge";
    self.api = *Endpoint::parse("192.0.2.1:7946");
    self.lease = here_ = lease(lease_id);
    lease_id_ = lease_id;
    tenant_.arrived(self, false);
  }

  Task<http::Response> papers() {
    ++looked_;
    const auto terms =
        *wire::seal(provider_, wire::LeaseTerms{provider_.public_key(), lease_id_, 990, 1'000,
                                                kRenewBeforeMs, 10'000, start_ms_});
    json::Array documents{here_.to_json(), terms.to_json()};
    json::Object answer{{"documents", std::move(documents)}, {"renewal_price_ucredits", 200}};
    co_return http::json_response(200, std::move(answer));
  }
  Task<http::Response> no_bill() {
    ++bills_asked_;
    co_await ScriptedHost::silence();
    co_return http::Response{};
  }
  Task<http::Response> renew(http::Request request) {
    const auto body = json::parse_object(request.body, 1 << 20);
    const auto renewal = *wire::parse_envelope(body->at("renewal"));
    const auto granted =
        *wire::seal(provider_, wire::RenewedLease{provider_.public_key(), renewal, clock_.utc_ms(),
                                                  start_ms_ + 2 * kLeaseSeconds * 1'000});
    json::Object answer{{"renewed_lease", granted.to_json()}};
    co_return http::json_response(200, std::move(answer));
  }

  IoContext loop_;
  test::TempDir directory_;
  FakeClock clock_;
  const UtcMillis start_ms_ = clock_.utc_ms();
  KeyPair icon_ = KeyPair::generate();
  KeyPair provider_ = KeyPair::generate();
  TaskGroup tasks_{loop_};
  SupervisorLink link_{directory_ / "supervisor.sock"};
  ScriptedHost host_{loop_, directory_ / "supervisor.sock"};
  Policy policy_;
  std::optional<Wallet> wallet_;
  std::optional<Chronicle> chronicle_;
  Tenant tenant_{
      {loop_, clock_, link_, tasks_, policy_, wallet_, chronicle_, [this] { return &icon_; },
       [](std::int64_t) { return wire::MicroCredits{0}; }, [](const Event&) {}},
      directory_ / "leases.json"};
  wire::Envelope here_;
  std::string lease_id_;
  int looked_ = 0;
  int bills_asked_ = 0;
};

TEST_F(TenantTest, AFormerHostThatDoesNotAnswerDelaysNoRenewal) {
  arrive("left");
  tenant_.close();
  arrive("here");
  ASSERT_TRUE(run_until(loop_, [&] { return looked_ > 0 && bills_asked_ > 0; }));
  clock_.advance(Millis(kLeaseSeconds * 1'000 - kRenewBeforeMs - 5'000));
  tenant_.returned();  // looks at the clock
  ASSERT_TRUE(run_until(
      loop_, [&] { return tenant_.slot_end_ms() == start_ms_ + 2 * kLeaseSeconds * 1'000; },
      kLessThanABill));
  EXPECT_EQ(wallet_->totals().spent_ucredits, 200);
  EXPECT_EQ(bills_asked_, 1) << "it is still waited for";
}

}  // namespace
}  // namespace icon::agent
