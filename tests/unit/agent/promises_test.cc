// What an agent knows of promises after it was started anew, from its file alone.
#include "agent/promises.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <filesystem>
#include <functional>
#include <optional>

#include "base/file.h"

namespace icon::agent {
namespace {

using ::testing::HasSubstr;

class PromisesTest : public ::testing::Test {
 protected:
  PromisesTest() {
    char pattern[] = "/tmp/icon-promises-XXXXXX";
    directory_ = mkdtemp(pattern);
    policy_.promise_window_ms = 60'000;
    ConfiguredProvider configured;
    configured.name = "near";
    configured.id = near_.id();
    configured.api = api(1);
    configured.rtt_us = 2'000;
    policy_.providers = {configured};
    to_.view.names = {"near", "", near_.id(), true};
    to_.view.api = api(1);
    from_.view.names = {"far", "", far_.id(), false};
    from_.view.api = api(2);
    seen_.here = {"far", far_.id(), 0, 0};
    seen_.prefixes = {{prefix_, 5, 80'000, 5}};
    near_view_ = {"near", near_.id(), 0, 0};
    start();
  }
  ~PromisesTest() override {
    promises_.reset();
    std::filesystem::remove_all(directory_);
  }

  static Endpoint api(std::uint8_t host) { return {Address::v4({192, 0, 2, host}), 7946}; }
  std::string path() const { return directory_ + "/record.json"; }
  // A new process with what the last one left on disk.
  void start() { promises_.emplace(clock_, path()); }
  void order() { promises_->prepare(to_, seen_, policy_, from_); }
  void look(std::int64_t rtt_us) {
    promises_->look(near_view_, {{prefix_, 5, rtt_us, 5}}, policy_);
  }
  json::Object file() const { return *json::parse_object(*read_file(path(), 1 << 20), 1 << 20); }

  std::string directory_;
  FakeClock clock_;
  KeyPair near_ = KeyPair::generate();
  KeyPair far_ = KeyPair::generate();
  Prefix prefix_ = *Prefix::parse("198.51.100.0/24");
  Policy policy_;
  KnownProvider to_;
  KnownProvider from_;
  Observations seen_;
  HereView near_view_;
  std::optional<Promises> promises_;
};

TEST_F(PromisesTest, AnOpenPromiseIsJudgedByTheNextProcess) {
  order();
  promises_->ended(true, 10);
  start();
  promises_->woke_at(near_.id());
  ASSERT_TRUE(promises_->pending());
  ASSERT_TRUE(promises_->previous());
  EXPECT_EQ(promises_->previous()->view.names.id, far_.id());
  EXPECT_EQ(promises_->previous()->view.api, api(2));
  EXPECT_EQ(promises_->previous()->view.source, "previous");
  clock_.advance(Millis(61'000));
  look(79'000);
  EXPECT_THAT(promises_->broken(), HasSubstr("near promised its users 2.0 ms instead of 80.0 ms"));
}

TEST_F(PromisesTest, ABrokenOneStaysBrokenAndTheWayBackIsKnown) {
  order();
  promises_->ended(true, 10);
  clock_.advance(Millis(61'000));
  look(79'000);
  ASSERT_FALSE(promises_->broken().empty());
  start();
  promises_->woke_at(near_.id());
  EXPECT_THAT(promises_->broken(), HasSubstr("and gives them 79.0 ms"));
  ASSERT_TRUE(promises_->previous());
  EXPECT_EQ(promises_->previous()->view.names.name, "far");
}

// The process that ordered the move ended with it; this one was started cold at its end.
TEST_F(PromisesTest, WhatWasOrderedHoldsWhereTheNextProcessWakes) {
  order();
  start();
  promises_->woke_at(near_.id());
  EXPECT_TRUE(promises_->pending());
  ASSERT_TRUE(promises_->previous());
  EXPECT_EQ(promises_->previous()->view.names.id, far_.id());
  clock_.advance(Millis(61'000));
  look(2'500);
  EXPECT_FALSE(promises_->pending());
  EXPECT_TRUE(promises_->broken().empty());
}

TEST_F(PromisesTest, AMoveThatDidNotHappenPromisesNothing) {
  order();
  start();
  promises_->woke_at(far_.id());
  EXPECT_FALSE(promises_->pending());
  EXPECT_FALSE(promises_->previous());
  start();
  promises_->woke_at(near_.id());  // later, by another's order
  EXPECT_FALSE(promises_->pending());
  order();
  promises_->ended(false, 0);
  EXPECT_FALSE(file().contains("ordered"));
}

TEST_F(PromisesTest, APromiseOfAnotherPlaceIsOver) {
  order();
  promises_->ended(true, 10);
  start();
  promises_->woke_at(KeyPair::generate().id());
  EXPECT_FALSE(promises_->pending());
  EXPECT_FALSE(promises_->previous());
  start();
  EXPECT_FALSE(promises_->pending());
}

// A replica is somebody else: what its parent was promised is nothing to it, nor to who comes next.
TEST_F(PromisesTest, WhoForgetsLeavesNoFile) {
  order();
  promises_->ended(true, 10);
  promises_->forget();
  EXPECT_FALSE(promises_->pending());
  start();
  EXPECT_FALSE(promises_->pending());
  EXPECT_FALSE(promises_->previous());
}

TEST_F(PromisesTest, WhatTheFileSaysIsChecked) {
  order();
  promises_->ended(true, 10);
  const auto good = file();
  const auto with = [&](const std::function<void(json::Object&)>& spoil) {
    auto object = good;
    spoil(object);
    ASSERT_TRUE(write_file_atomic(path(), boost::json::serialize(object), 0600));
    start();
  };
  with([](auto& object) { object["version"] = 2; });
  EXPECT_FALSE(promises_->pending());
  with([](auto& object) { object["previous"].as_object()["id"] = "nobody"; });
  EXPECT_TRUE(promises_->pending());
  EXPECT_FALSE(promises_->previous());
  with([](auto& object) { object["previous"].as_object()["api"] = "here:1"; });
  EXPECT_FALSE(promises_->previous());
  with([](auto& object) { object["ordered"] = json::Object{{"version", 1}, {"here", 3}}; });
  EXPECT_TRUE(promises_->previous());
  // As version 1 was before it named places.
  with([](auto& object) { object.erase("previous"), object.erase("leaving"); });
  EXPECT_TRUE(promises_->pending());
  EXPECT_FALSE(promises_->previous());
  ASSERT_TRUE(write_file_atomic(path(), "{", 0600));
  start();
  EXPECT_FALSE(promises_->pending());
}

}  // namespace
}  // namespace icon::agent
