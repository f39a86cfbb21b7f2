// Any sequence of events: the machine never stops on one, ends once, and speaks to nobody while it
// is quiesced. Its own assertions do the rest.
#include "agent/lifecycle.h"
#include "tests/fuzz/byte_source.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::agent {
namespace {

Event event_from(fuzz::ByteSource& source) {
  const std::string id(1, static_cast<char>('a' + source.byte() % 3));
  const std::int64_t number = source.byte() % 6;
  switch (source.byte() % 26) {
    case 0:
      return event::Boot{};
    case 1:
      return event::ServiceStarted{};
    case 2:
      return event::ServiceExited{static_cast<int>(number)};
    case 3:
      return event::SupervisorFound{id, number};
    case 4:
      return event::SupervisorLost{};
    case 5:
      return event::Quiesce{id};
    case 6:
      return event::Woken{};
    case 7:
      return event::Moved{id, number};
    case 8:
      return event::RolledBack{id, id};
    case 9:
      return event::OperatorMigrate{id};
    case 10:
      return event::Replicate{id};
    case 11:
      return event::ReplicaStarted{id};
    case 12:
      return event::Hold{};
    case 13:
      return event::Unhold{};
    case 14:
      return event::DiscoveryDone{number};
    case 15:
      return event::OffersDone{number};
    case 16:
      return event::DecidedStay{number};
    case 17:
      return event::DecidedMove{number, id};
    case 18:
      return event::RoundFailed{number, id};
    case 19:
      return event::OrderAccepted{id};
    case 20:
      return event::OrderFailed{id};
    case 21:
      return event::Drain{id};
    case 22:
      return event::ConnectionsGone{};
    case 23:
      return event::StopSignal{15};
    case 24:
      return event::OtherSignal{1};
    default:
      return event::TimerFired{static_cast<Timer>(source.byte() % 9)};
  }
}

}  // namespace

ICON_FUZZ_TARGET(lifecycle) {
  fuzz::ByteSource source(input);
  Lifecycle life{LifecycleLimits{}};
  int exits = 0;
  for (UtcMillis now = 1; !source.empty() && now < 1000; ++now) {
    const auto event = event_from(source);
    const bool was_over = life.state() == State::kTerminated;
    for (const auto& action : life.step(event, now)) {
      ICON_FUZZ_REQUIRE(!name_of(action).empty());
      if (std::holds_alternative<action::Exit>(action)) ++exits;
      ICON_FUZZ_REQUIRE(!was_over || std::holds_alternative<action::Log>(action));
    }
    ICON_FUZZ_REQUIRE(exits == (life.state() == State::kTerminated ? 1 : 0));
  }
}

}  // namespace icon::agent
