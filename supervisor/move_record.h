// One migration as it is told: phases with times and bytes, in the journal for `icon history` and
// live to those who watch. Used by both sides. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "base/task.h"
#include "supervisor/journal.h"

namespace icon::supervisor {

struct Host;

class MoveRecord {
 public:
  MoveRecord(Host& host, MigrationRecord record) : host_(host), record_(std::move(record)) {}

  MigrationRecord& data() { return record_; }
  const MigrationRecord& data() const { return record_; }
  const std::string& id() const { return record_.id; }

  // Durable when it returns success. Errors: kIo.
  Status save();
  // Sets the state and saves.
  Status enter(std::string_view state);

  // A phase from begin to end; `bytes` is what it moved.
  void begin(std::string_view phase);
  void progress(std::uint64_t bytes);  // of the phase that runs; published at most every 100 ms
  void end(std::uint64_t bytes);
  // The last event: state, and the error when there is one. Ends the listeners.
  void finish(std::string_view state, const std::string& error);

 private:
  Host& host_;
  MigrationRecord record_;
  std::string phase_;
  SteadyTime phase_start_{};
  UtcMillis phase_start_ms_ = 0;
  SteadyTime last_progress_{};
};

}  // namespace icon::supervisor
