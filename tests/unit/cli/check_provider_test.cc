// `icon provider check` with a zone and a provider that are only told of: what it makes of the
// ping API.
#include "cli/check_provider.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/discovery/fake_resolver.h"
#include "tests/unit/discovery/run_task.h"
#include "wire/ping.h"

namespace icon::cli {
namespace {

using ::testing::HasSubstr;

constexpr const char* kProviderAddress = "203.0.113.10";

// Answers for whoever holds `key`; its offers are none.
class FakeProvider final : public ProviderCaller {
 public:
  explicit FakeProvider(const Clock& clock) : clock_(clock) {}

  Task<Result<Answer>> post(Endpoint api, std::optional<PublicKey> peer, std::string target,
                            json::Object body) override {
    Answer answer{{}, key.public_key(), 700};
    if (target != "/v1/pings") co_return answer;
    if (refusal) co_return fail(*refusal);
    asked_api = api;
    asked_peer = peer;
    const auto envelope = wire::parse_envelope(body.at("request"));
    const auto request = wire::open<wire::PingRequest>(*envelope);
    targets = request->targets;
    const KeyPair& signer = other_signer ? another : key;
    wire::PingReport report;
    report.provider = signer.public_key();
    report.request_digest = other_request ? std::string(64, 'a') : envelope->digest();
    report.figures = {{request->targets.front(), 150, 3, ""}};
    if (other_targets) report.figures.push_back({*Address::parse("192.0.2.1"), 150, 3, ""});
    report.issued_ms = clock_.utc_ms() - age_ms;
    report.expires_ms = report.issued_ms + 60'000;
    if (!no_report) answer.body["report"] = wire::seal(signer, report)->to_json();
    co_return answer;
  }

  KeyPair key = KeyPair::generate();
  KeyPair another = KeyPair::generate();
  bool other_signer = false;
  std::optional<Error> refusal;
  bool no_report = false;
  bool other_request = false;
  bool other_targets = false;
  std::int64_t age_ms = 0;
  Endpoint asked_api;
  std::optional<PublicKey> asked_peer;
  std::vector<Address> targets;

 private:
  const Clock& clock_;
};

class CheckPingsTest : public ::testing::Test {
 protected:
  CheckPingsTest() {
    dns_.add_provider("edge.example", "icon.edge.example", kProviderAddress,
                      "v=icon1 id=" + provider_.key.id());
  }

  Finding pings() {
    const auto findings =
        discovery::run_task(check_provider({dns_, dns_, provider_, clock_}, "edge.example"));
    const std::string name = std::string("pings ") + kProviderAddress + ":7946";
    const auto found = std::find_if(findings.begin(), findings.end(),
                                    [&](const Finding& one) { return one.name == name; });
    EXPECT_NE(found, findings.end());
    return found == findings.end() ? Finding{} : *found;
  }
  void expect_warning(const char* detail, const char* fix) {
    const auto finding = pings();
    EXPECT_EQ(finding.state, CheckState::kWarning);
    EXPECT_THAT(finding.detail, HasSubstr(detail));
    EXPECT_THAT(finding.fix, HasSubstr(fix));
  }

  FakeClock clock_;
  discovery::FakeResolver dns_;
  FakeProvider provider_{clock_};
};

TEST_F(CheckPingsTest, ASignedReportOfItselfIsRight) {
  const auto finding = pings();
  EXPECT_EQ(finding.state, CheckState::kOk);
  EXPECT_EQ(finding.detail, "signed; it answers within its limits");
  EXPECT_EQ(finding.fix, "");
  // Nobody but the provider itself is bothered, and the key that it proved is expected again.
  EXPECT_EQ(provider_.targets, std::vector<Address>{*Address::parse(kProviderAddress)});
  EXPECT_EQ(provider_.asked_peer, provider_.key.public_key());
}

TEST_F(CheckPingsTest, WithoutTheApiItCanStillSell) {
  provider_.refusal = Error{Code::kNotFound, "no /v1/pings here"};
  expect_warning("no /v1/pings here", "ping_api: true");
}

TEST_F(CheckPingsTest, AReportThatProvesNothingIsNamed) {
  provider_.other_signer = true;
  expect_warning("signed by another key", "Is it icon-supervisor");
  provider_.other_signer = false;
  provider_.other_request = true;
  expect_warning("about another request", "Is it icon-supervisor");
  provider_.other_request = false;
  provider_.other_targets = true;
  expect_warning("about other targets", "Is it icon-supervisor");
  provider_.other_targets = false;
  provider_.age_ms = 3'600'000;
  expect_warning("", "Is it icon-supervisor");
  provider_.age_ms = 0;
  provider_.no_report = true;
  expect_warning("holds no report", "Is it icon-supervisor");
}

}  // namespace
}  // namespace icon::cli
