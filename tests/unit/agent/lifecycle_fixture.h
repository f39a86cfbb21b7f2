// The lifecycle in the hands of a test: events in, actions out as short texts.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "agent/lifecycle.h"

namespace icon::agent {

using action::MoveOutcome;
using testing::ElementsAre;

inline constexpr UtcMillis kNow = 1'700'000'000'000;

// Actions as short texts: what the tables below compare.
inline std::string text_of(const Action& action) {
  const auto name = std::string(name_of(action));
  if (const auto* a = std::get_if<action::SetTimer>(&action))
    return fmt::format("set {} {}", to_string(a->timer), a->delay.count());
  if (const auto* a = std::get_if<action::CancelTimer>(&action))
    return fmt::format("cancel {}", to_string(a->timer));
  if (const auto* a = std::get_if<action::RunDiscovery>(&action); a != nullptr && a->dry)
    return name + " (dry)";
  if (const auto* a = std::get_if<action::ForwardSignal>(&action))
    return fmt::format("signal {}", a->number);
  if (const auto* a = std::get_if<action::OrderMove>(&action))
    return fmt::format("move {} {}", a->target, a->reason);
  if (const auto* a = std::get_if<action::MoveEnded>(&action))
    return fmt::format("ended {} {}",
                       a->outcome == MoveOutcome::kMoved    ? "moved"
                       : a->outcome == MoveOutcome::kFailed ? "failed"
                                                            : "unknown",
                       a->reason);
  if (const auto* a = std::get_if<action::Log>(&action)) return a->event;
  if (const auto* a = std::get_if<action::Exit>(&action)) return fmt::format("exit {}", a->code);
  return name;
}

class LifecycleTest : public testing::Test {
 protected:
  std::vector<std::string> step(const Event& event) {
    std::vector<std::string> texts;
    for (const auto& action : life_.step(event, ++now_)) texts.push_back(text_of(action));
    return texts;
  }
  std::vector<std::string> fire(Timer timer) { return step(event::TimerFired{timer}); }
  void active() {
    step(event::Boot{});
    step(event::ServiceStarted{});
    step(event::SupervisorFound{"host", 1});
    ASSERT_EQ(life_.state(), State::kActive);
  }
  void staging() {
    active();
    step(event::OperatorMigrate{"edge"});
    step(event::OrderAccepted{"m1"});
    ASSERT_EQ(life_.state(), State::kMigrating);
  }
  void waiting_for_the_verdict() {
    staging();
    step(event::Quiesce{"m1"});
    step(event::Woken{});
  }

  UtcMillis now_ = kNow;
  Lifecycle life_{LifecycleLimits{}};
};

}  // namespace icon::agent
