// How far the users are, per /24 and /48, over a sliding window: what the decisions look at. Pure
// but for the clock it is given; bounded memory.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "agent/tcp_samples.h"
#include "base/address.h"
#include "base/clock.h"

namespace icon::agent {

struct LatencyLimits {
  std::size_t prefixes_max = 10'000;
  std::size_t samples_per_prefix_max = 128;  // the newest are kept
  std::size_t samples_shared_max = 32'768;   // by all prefixes: with many each has fewer, but some
  Millis window{60'000};
  // A connection that was silent for longer says nothing about now: its RTT is stale.
  Millis active_max{5'000};
  // The same of one that the kernel has no RTT of: a restored one, whose clock began anew with it.
  Millis unproved_active_max{1'000};
};

struct PrefixLatency {
  Prefix prefix;
  Address representative;        // the user heard from last
  std::int64_t connections = 0;  // open now, idle ones included
  std::int64_t weight = 0;       // open and active now, and those that ended within the window
  std::int64_t samples = 0;      // that the percentiles rest on
  std::uint32_t rtt_us_p50 = 0;  // 0: no sample
  std::uint32_t rtt_us_p95 = 0;
};

// The RTT of a connection is tcpi_min_rtt where the kernel has one: the smoothed value contains
// the peer's delayed acknowledgements (up to 40 ms and more), which are no distance and do not get
// better by moving. Right after a restore there is no minimum yet and no smoothed value either:
// such connections are open, but they are samples only once they have said something, and active
// ones hardly longer. All of a silent crowd would else seem to be back after each move.
// Owner: the agent. One thread.
class LatencyTable {
 public:
  explicit LatencyTable(const Clock& clock, LatencyLimits limits = {})
      : clock_(clock), limits_(limits) {}

  // A dump replaces the number of open connections: begin, add..., end.
  void begin_dump();
  // One connection, of a dump or (`ended`) of a destroy notification.
  void add(const TcpSample& sample);
  void end_dump();
  // Forgets everything: samples belong to the place where they were taken.
  void reset();

  // Prefixes seen within the window, most weight first, at most `prefixes_max` of them.
  std::vector<PrefixLatency> snapshot() const;
  // The percentile (1..100) of the samples within the window; 0 when there are none.
  std::uint32_t rtt_us_at(const Prefix& prefix, int percentile) const;
  std::size_t prefix_count() const { return entries_.size(); }
  // How long samples have been collected since the last reset; 0 before the first.
  Millis age() const;

 private:
  struct Sample {
    std::uint32_t tick;  // see tick_of()
    std::uint32_t rtt_us;
  };
  struct Entry {
    Address representative;
    SteadyTime seen;
    SteadyTime slot_start;
    std::vector<Sample> ring;
    std::uint32_t next = 0;
    std::uint32_t open = 0;
    std::uint32_t active = 0;
    // Of the dump that is under way.
    std::uint32_t open_counting = 0;
    std::uint32_t active_counting = 0;
    // Ended connections in the present and the previous slot of one window's length.
    std::uint32_t ended_now = 0;
    std::uint32_t ended_before = 0;
  };
  Entry* entry_of(const Address& user, SteadyTime now);
  bool make_room();
  std::size_t samples_max() const;
  void count_ended(Entry& entry, SteadyTime now) const;
  std::int64_t ended_in_window(const Entry& entry, SteadyTime now) const;
  // Sorted RTTs within the window.
  std::vector<std::uint32_t> recent(const Entry& entry, SteadyTime now) const;

  const Clock& clock_;
  LatencyLimits limits_;
  std::map<Prefix, Entry> entries_;
  SteadyTime since_{};
  bool started_ = false;
  bool full_ = false;  // until the next dump: every prefix has open connections
};

}  // namespace icon::agent
