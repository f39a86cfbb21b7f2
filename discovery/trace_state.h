// What a trace under way remembers: the parts of TracePlan. Small, since there are 10,000 targets
// and hundreds of them open.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "discovery/path_tree.h"
#include "discovery/probe.h"

namespace icon::discovery {

inline constexpr std::uint32_t kNobody = std::numeric_limits<std::uint32_t>::max();

// One TTL of a trace under way. Attempts are bits, the first is bit 0.
struct Slot {
  std::array<std::uint32_t, kAttemptsMax> sent_us{};  // since the begin of the run
  NodeId node = kNoNode;
  RouterId asked = kNoRouter;      // who was expected to answer the last probe
  RouterId queued_at = kNoRouter;  // waits to be repeated there, see RouterPace
  std::uint8_t attempts = 0;
  std::uint8_t waiting = 0;
  std::uint8_t answered = 0;
  std::uint8_t replies = 0;
  bool resolved = false;
  bool known = false;          // another trace has met this router here
  bool claims_beyond = false;  // we are the first behind it towards our block
  bool target = false;         // it was the target that answered
  bool heard = false;          // somebody answered, even if the tree had no room for it
};

// The look for load balancing at one TTL: distinct flows, one probe each.
struct FlowCheck {
  std::uint8_t ttl = 0;
  std::uint16_t sent = 1;  // flow 0 is the trace itself
  std::uint16_t waiting = 0;
  std::array<NodeId, 4> seen{};
  std::uint8_t seen_count = 0;
};

struct OpenTrace {
  std::uint32_t target = kNobody;
  std::vector<Slot> slots;  // [ttl - 1]
  std::vector<FlowCheck> flows;
  SteadyTime opened{};
  SteadyTime delayed{};               // until then there is nothing to send; zero: not so
  std::uint32_t neighbour = kNobody;  // a finished trace to an address nearby
  int first = 1;                      // the TTL it began with
  int low = 1;                        // the smallest TTL of interest
  int high = 0;                       // the largest TTL sent
  int end = 0;                        // no TTL beyond it is of interest
  int waiting = 0;                    // probes under way
  bool backward_done = true;
  bool forward_done = false;
  bool pioneer = false;
  bool blind = false;  // began in the middle, no distance being known
  bool checking_flows = false;
  bool serial = false;  // answers carry no tag: one probe at a time
  bool queued = false;

  Slot& slot(int ttl) { return slots[static_cast<std::size_t>(ttl) - 1]; }
  const Slot& slot(int ttl) const { return slots[static_cast<std::size_t>(ttl) - 1]; }
};

enum class TraceEnd : std::uint8_t {
  kNone,
  kReached,
  kUnreachable,  // `code` and `who`
  kSilent,       // after hop `code`
  kAsAnother,    // the global stop set: from `end` on as trace `like`
  kReason,       // reason number `code`
  kStopped,      // the same
};

struct TraceTarget {
  enum class State : std::uint8_t { kWaiting, kOpen, kDone };
  Address address;
  State state = State::kWaiting;
  TraceEnd ended = TraceEnd::kNone;
  bool reached = false;
  bool shares_block = false;   // with another target of this run
  std::uint8_t first_ttl = 0;  // where to begin, 0: learn
  std::uint8_t low = 1;        // the hops [low, end] are its own; kept at `path`
  std::uint8_t end = 0;
  std::uint8_t code = 0;
  std::uint8_t back_hops = 0;  // by which the target's own answer came
  NodeId who = kNoNode;
  std::uint32_t block_first = 0;  // the first target in its block, perhaps itself
  std::uint32_t like = kNobody;
  std::uint32_t open = kNobody;  // while kOpen
  std::uint32_t path = 0;
  std::uint32_t rtt_us = 0;  // of the target itself
};

struct Probe {
  std::size_t target = 0;  // index
  ProbeTag tag;
};

struct PendingProbe {
  SteadyTime sent;
  Probe probe;
};

struct DelayedTrace {
  SteadyTime at;
  std::uint32_t open;
  bool operator<(const DelayedTrace& other) const { return at > other.at; }
};

// What a trace would do: send this probe now, or wait until then, or until something happens.
struct TraceChoice {
  std::optional<ProbeTag> tag;
  std::optional<SteadyTime> wait;
};

struct PathStep {
  NodeId node = kNoNode;
  std::uint8_t probes = 0;
};

}  // namespace icon::discovery
