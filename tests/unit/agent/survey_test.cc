// Offers as the survey gets them from a supervisor: what it remembers of a provider's distance.
#include "agent/survey.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/http_server.h"
#include "tests/unit/discovery/run_task.h"

namespace icon::agent {
namespace {

class SurveyTest : public ::testing::Test {
 protected:
  SurveyTest() {
    char pattern[] = "/tmp/icon-survey-XXXXXX";
    directory_ = mkdtemp(pattern);
    router_.on("POST", "/v1/self/offers",
               [this](http::Request request) -> Task<http::Response> { co_return offer(request); });
    link_.emplace(directory_ + "/s");
    survey_.emplace(loop_, clock_, *link_, tasks_, SurveyLimits{});
    server_ = *http::serve_unix(loop_, directory_ + "/s", 0600, "icon", router_, http::Limits{});
    provider_.view.names = {"edge", "edge.test", key_.id(), false};
    provider_.view.api = *Endpoint::parse("192.0.2.1:7946");
  }
  ~SurveyTest() override {
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  http::Response offer(const http::Request& request) {
    const auto body = *json::parse_object(request.body, 1 << 16);
    wire::Offer offer;
    offer.provider = key_.public_key();
    offer.provider_name = "edge";
    offer.nonce = std::string(body.at("nonce").as_string());
    offer.resources = *wire::Resources::from_json(body.at("resources").as_object());
    offer.slot_seconds = body.at("slot_seconds").as_int64();
    offer.price_ucredits = 1'000;
    offer.api = *Endpoint::parse(body.at("api").as_string());
    offer.public_address = offer.api.address;
    offer.issued_ms = clock_.utc_ms();
    offer.expires_ms = clock_.utc_ms() + 60'000;
    json::Object answer{{"offer", wire::seal(key_, offer)->to_json()}, {"observed_id", key_.id()}};
    if (connect_rtt_us_) answer["connect_rtt_us"] = *connect_rtt_us_;
    return http::json_response(200, answer);
  }

  // As the supervisor says it: 0 when it had a connection already.
  std::optional<std::int64_t> asked_with(std::optional<std::int64_t> connect_rtt_us) {
    connect_rtt_us_ = connect_rtt_us;
    const auto answered =
        discovery::run_task(loop_, survey_->ask_offer(provider_, Policy{}, 1'000'000));
    EXPECT_TRUE(answered.view.offer)
        << (answered.view.rejection ? answered.view.rejection->message : "");
    return answered.view.connect_rtt_us;
  }

  std::string directory_;
  IoContext loop_{1};
  FakeClock clock_;
  TaskGroup tasks_{loop_};
  KeyPair key_ = KeyPair::generate();
  http::Router router_;
  std::optional<SupervisorLink> link_;
  std::optional<Survey> survey_;
  std::unique_ptr<http::Server> server_;
  KnownProvider provider_;
  std::optional<std::int64_t> connect_rtt_us_;
};

// Zero means that nothing was measured, not that there is no distance.
TEST_F(SurveyTest, AReusedConnectionHasMeasuredNothing) {
  EXPECT_EQ(asked_with(0), std::nullopt);
  EXPECT_EQ(asked_with(40'000), 40'000);
  EXPECT_EQ(asked_with(0), 40'000);
  EXPECT_EQ(asked_with(std::nullopt), 40'000);
  EXPECT_EQ(asked_with(35'000), 35'000);
  EXPECT_EQ(asked_with(0), 35'000);
  // Another address of the same provider is another distance.
  provider_.view.api = *Endpoint::parse("192.0.2.2:7946");
  EXPECT_EQ(asked_with(0), std::nullopt);
  // What was measured holds for one place.
  provider_.view.api = *Endpoint::parse("192.0.2.1:7946");
  survey_->forget();
  EXPECT_EQ(asked_with(0), std::nullopt);
}

}  // namespace
}  // namespace icon::agent
