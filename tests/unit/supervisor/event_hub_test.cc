#include "supervisor/event_hub.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

namespace icon::supervisor {
namespace {

namespace asio = boost::asio;

class EventHubTest : public ::testing::Test {
 protected:
  void run(Task<void> flow) {
    asio::co_spawn(loop_, std::move(flow), [](std::exception_ptr error) {
      if (error) std::rethrow_exception(error);
    });
    loop_.run();
    loop_.restart();
  }
  IoContext loop_;
  EventHub hub_{loop_};
};

TEST_F(EventHubTest, ReachesThoseWhoListenNow) {
  hub_.publish("a", {{"n", 0}});  // nobody
  run([](EventHub& hub) -> Task<void> {
    auto one = std::move(*hub.listen("a"));
    auto two = std::move(*hub.listen("a"));
    auto other = std::move(*hub.listen("b"));
    hub.publish("a", {{"n", 1}});
    hub.publish("a", {{"n", 2}});
    EXPECT_EQ(*co_await one->next(Millis(1'000)), R"({"n":1})");
    EXPECT_EQ(*co_await one->next(Millis(1'000)), R"({"n":2})");
    EXPECT_EQ(*co_await two->next(Millis(1'000)), R"({"n":1})");
    const auto nothing = co_await other->next(Millis(1));
    EXPECT_EQ(nothing.error().code, Code::kTimeout);
  }(hub_));
  EXPECT_EQ(hub_.listeners("a"), 0u);
}

TEST_F(EventHubTest, CloseEndsAfterWhatIsQueued) {
  run([](EventHub& hub) -> Task<void> {
    auto listener = std::move(*hub.listen("a"));
    hub.publish("a", {{"n", 1}});
    hub.close("a");
    EXPECT_TRUE(co_await listener->next(Millis(1'000)));
    const auto over = co_await listener->next(Millis(1'000));
    EXPECT_EQ(over.error().code, Code::kCancelled);
  }(hub_));
}

TEST_F(EventHubTest, ALaggingListenerIsCutOff) {
  run([](EventHub& hub) -> Task<void> {
    auto listener = std::move(*hub.listen("a"));
    for (std::size_t i = 0; i <= EventHub::kQueueMax; ++i) hub.publish("a", {{"i", i}});
    const auto lagged = co_await listener->next(Millis(1'000));
    EXPECT_EQ(lagged.error().code, Code::kLimit);
  }(hub_));
}

TEST_F(EventHubTest, ListenersAreLimited) {
  std::vector<std::unique_ptr<EventHub::Listener>> listeners;
  for (std::size_t i = 0; i < EventHub::kListenersPerTopicMax; ++i)
    listeners.push_back(std::move(*hub_.listen("a")));
  EXPECT_EQ(hub_.listen("a").error().code, Code::kLimit);
  listeners.pop_back();
  EXPECT_TRUE(hub_.listen("a"));
}

TEST_F(EventHubTest, WaitsForSilence) {
  auto listener = std::move(*hub_.listen("a"));
  bool silent = false;
  asio::co_spawn(
      loop_,
      [](EventHub& hub, bool& done) -> Task<void> {
        done = (co_await hub.until_nobody_listens("a", Millis(60'000))).has_value();
      }(hub_, silent),
      asio::detached);
  loop_.poll();
  EXPECT_FALSE(silent);
  listener.reset();
  loop_.run_for(std::chrono::seconds(5));
  EXPECT_TRUE(silent);
  loop_.restart();
  listener = std::move(*hub_.listen("a"));
  run([](EventHub& hub) -> Task<void> {
    const auto loud = co_await hub.until_nobody_listens("a", Millis(1));
    EXPECT_EQ(loud.error().code, Code::kTimeout);
  }(hub_));
}

TEST_F(EventHubTest, WaitsForSomebodyToListen) {
  run([](EventHub& hub) -> Task<void> {
    const auto nobody = co_await hub.until_somebody_listens("a", Millis(1));
    EXPECT_EQ(nobody.error().code, Code::kTimeout);
  }(hub_));
  bool heard = false;
  asio::co_spawn(
      loop_,
      [](EventHub& hub, bool& done) -> Task<void> {
        done = (co_await hub.until_somebody_listens("a", Millis(60'000))).has_value();
      }(hub_, heard),
      asio::detached);
  loop_.poll();
  const auto elsewhere = hub_.listen("b");
  loop_.poll();
  EXPECT_FALSE(heard);
  const auto listener = hub_.listen("a");
  loop_.run_for(std::chrono::seconds(5));
  EXPECT_TRUE(heard);
}

}  // namespace
}  // namespace icon::supervisor
