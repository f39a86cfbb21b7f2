// The lab's users: connections that are held open and checked. Each runs a sequence of requests
// with known answers at a steady pace, whether or not replies come, and measures round trips and
// silences.
//
//   icon-lab-load --source 11.2.128.1 --source 11.2.128.2 --rate 50 --protocol redis 11.1.0.2:6379
//
// It reads commands, one per line: "mark NAME" closes the window of measurement and opens the next,
// "report" tells the state of the current one, "stop" (or the end of input) waits for what is owed
// and ends. It writes JSON lines: {"event":"connected"}, then LoadReports with "event":"report"
// (periodic or asked for), "window" (closed by mark), "end". One thread, blocking.
#pragma once

#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/result.h"
#include "lab/load_protocol.h"
#include "lab/load_report.h"

namespace icon::lab {

struct LoadOptions {
  Endpoint target;
  std::vector<Address>
      sources;  // connection i comes from source i mod size; empty: the kernel's choice
  std::size_t connections = 1;
  double rate_per_s = 20;      // requests per second and connection
  ProtocolOptions protocol;    // `connection` is set per connection
  Millis report_every{1'000};  // 0: only when asked
  Millis duration{0};          // 0: until a command or a signal says stop
  Millis connect_max{10'000};
  Millis drain_max{10'000};  // how long "stop" waits for owed replies
  // Requests without a reply per connection, then it pauses. 0: 1 for HTTP, 1024 otherwise.
  std::size_t owed_max = 0;
};

// Runs to the end and returns the last report, which was also written to `output_fd`. `command_fd`
// may be -1. A connection that breaks is counted, never reopened. Errors: kInvalid, kIo (no
// connection could be opened; says why), kTimeout.
Result<LoadReport> run_load(const LoadOptions& options, int command_fd, int output_fd);

// True when all connections live and every reply was right.
bool flawless(const LoadReport& report);

}  // namespace icon::lab
