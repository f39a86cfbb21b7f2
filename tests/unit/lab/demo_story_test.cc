#include "lab/demo_story.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace icon::lab {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

json::Object object(std::string_view text) {
  auto parsed = json::parse_object(text, 1 << 20);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed.value_or(json::Object{});
}

DemoStory story() {
  return DemoStory({{"transit.test", "dear"}, {"ixp.test", "liar"}, {"11.1.0.3", "dear"}});
}

TEST(DemoStory, TellsAnOfferOnceWithItsFigures) {
  auto demo = story();
  const auto event =
      object(R"({"event":"offer.answer","provider":"transit.test","api":"11.1.0.3:7946",)"
             R"("reason":"offered","message":"","price_ucredits":5000000,"connect_rtt_us":60250})");
  EXPECT_THAT(demo.agent_event(event),
              ElementsAre("dear offers a slot for 5.00 credits, 60.2 ms from here"));
  EXPECT_THAT(demo.agent_event(event), IsEmpty());
  EXPECT_THAT(demo.rejected(), IsEmpty());
}

TEST(DemoStory, RemembersWhoWasRefusedAndWhy) {
  auto demo = story();
  demo.agent_event(
      object(R"({"event":"offer.answer","provider":"ixp.test","api":"11.2.0.2:7946",)"
             R"("reason":"key_mismatch","message":"another key","price_ucredits":null})"));
  const auto lines = demo.decision(
      object(R"({"decision":"d","outcome":"stay","evidence":{"candidates":[)"
             R"({"name":"transit.test","domain":"transit.test","verdict":"rejected",)"
             R"("reason":"too_dear","message":"5000000 is more than the gain",)"
             R"("estimates":[{"prefix":"11.3.128.0/24","rtt_us":20000},)"
             R"({"prefix":"11.4.128.0/24","rtt_us":null}]},)"
             R"({"name":"origin.test","domain":"origin.test","verdict":"rejected",)"
             R"("reason":"current_host","message":"there already","estimates":[]},)"
             R"({"name":"access-b.test","domain":"access-b.test","verdict":"lost",)"
             R"("reason":"outbid","message":"another gains more","estimates":[]}]}})"));
  EXPECT_THAT(lines,
              ElementsAre("dear would be 20.0 ms from 11.3.128.0/24: rejected, 5000000 is more "
                          "than the gain",
                          "access-b.test: lost, another gains more"));
  EXPECT_THAT(demo.rejected(),
              ElementsAre(RejectedProvider{"dear", "transit.test", "too_dear",
                                           "5000000 is more than the gain"},
                          RejectedProvider{"liar", "ixp.test", "key_mismatch", "another key"}));
}

TEST(DemoStory, SpeaksOfHostsWhereTheAgentSpeaksOfDomains) {
  auto demo = story();
  EXPECT_THAT(
      demo.agent_event(object(
          R"({"event":"decision","time_ms":7,"message":"transit.test leads in 1 of 2 rounds"})")),
      ElementsAre("It decides: dear leads in 1 of 2 rounds"));
}

TEST(DemoStory, DrawsThePathWithNames) {
  auto demo = story();
  const auto decision = object(
      R"({"evidence":{"discovery":{"names":[{"address":"11.1.0.1","name":"t1.transit.test"}],)"
      R"("traces":[{"target":"11.3.128.1","hops":[{"ttl":1,"address":"11.1.0.1","rtt_us":60000},)"
      R"({"ttl":2,"address":"","rtt_us":0}]}]}}})");
  EXPECT_THAT(demo.decision(decision),
              ElementsAre("The way to 11.3.128.1: t1.transit.test 60.0 ms, *"));
  EXPECT_THAT(demo.decision(decision), IsEmpty());
}

TEST(DemoStory, TellsPhasesWhenTheyHaveEnded) {
  auto demo = story();
  EXPECT_THAT(demo.migration(object(R"({"id":"m","phases":[{"name":"stage","started_ms":1}]})")),
              IsEmpty());
  EXPECT_THAT(
      demo.migration(object(
          R"({"id":"m","phases":[{"name":"stage","started_ms":1,"took_us":1500,"bytes":2000000}]})")),
      ElementsAre(HasSubstr("1.5 ms")));
}

TEST(DemoStory, PassesOverWhatItDoesNotKnow) {
  auto demo = story();
  EXPECT_THAT(demo.agent_event(object(R"({"event":"tea.ready","minutes":3})")), IsEmpty());
  EXPECT_THAT(demo.agent_event(object("{}")), IsEmpty());
  EXPECT_THAT(demo.decision(object(R"({"evidence":7,"candidates":[1,"x"]})")), IsEmpty());
  EXPECT_THAT(demo.status(object(R"({"prefixes":{}})")), IsEmpty());
}

TEST(DemoStory, ShowsUsersWhenTheyAreMeasured) {
  auto demo = story();
  EXPECT_THAT(demo.status(object(R"({"prefixes":[{"prefix":"11.3.128.0/24","connections":12}]})")),
              IsEmpty());
  EXPECT_THAT(
      demo.status(object(
          R"({"prefixes":[{"prefix":"11.3.128.0/24","connections":12,"rtt_us_p50":80100}]})")),
      SizeIs(1));
}

}  // namespace
}  // namespace icon::lab
