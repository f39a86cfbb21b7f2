// What the demo measured, what it expected, and how both are told. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "lab/load_report.h"

namespace icon::lab {

// One access network's users.
struct NetworkResult {
  std::string name;
  LoadReport before;    // to the far origin
  LoadReport during;    // from the decision until the move was over
  LoadReport open;      // afterwards, the same connections, through the tunnel
  LoadReport anew;      // afterwards, connections to where the service lives now
  LoadReport end;       // of the connections that were open all the time
  LoadReport anew_end;  // of the new ones
};

struct RejectedProvider {
  std::string provider;  // the host's name in the lab, else as it calls itself
  std::string domain;
  std::string reason;   // code
  std::string message;  // sentence
  bool operator==(const RejectedProvider&) const = default;
};

struct DemoResult {
  std::vector<NetworkResult> networks;
  std::string icon;
  std::string from;
  std::string to;
  std::string migration;
  std::vector<RejectedProvider> rejected;
  std::int64_t data_bytes = 0;
  std::int64_t data_damaged = 0;  // values that were not read back as they were written
  std::int64_t bytes_moved = 0;
  std::int64_t service_gap_us = 0;  // as the supervisors measured it
  std::int64_t budget_ucredits = 0;
  std::int64_t spent_ucredits = 0;
  std::int64_t took_ms = 0;

  // The network with the most users: they are whom the ICON moves to. nullptr without networks.
  const NetworkResult* moved_users() const;
  std::int64_t connections() const;
  std::int64_t alive() const;
  ReplyCounts replies() const;  // of all connections, the new ones too
  // Each connection's longest silence around the move.
  std::vector<std::int64_t> gaps_us() const;

  json::Object to_json() const;
  std::string summary() const;
};

struct DemoExpectations {
  std::vector<std::string> rejected;  // hosts whose offer must have been refused
  int rtt_divisor = 3;                // the moved users' median must fall below 1/n
};
// One sentence for each that does not hold.
std::vector<std::string> failed_expectations(const DemoResult& result,
                                             const DemoExpectations& expectations);

// "1.25 credits" from micro-credits; "12.3 ms" from microseconds; "64.0 MB" from bytes.
std::string credits_text(std::int64_t ucredits);
std::string ms_text(std::int64_t us);
std::string bytes_text(std::int64_t bytes);

}  // namespace icon::lab
