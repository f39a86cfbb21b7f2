// A load program in a node of a lab, driven by a test or the demo through its pipes. Blocking; any
// one thread at a time. Killed on destruction.
#pragma once

#include <deque>
#include <optional>
#include <string>

#include "base/subprocess.h"
#include "lab/lab.h"
#include "lab/load.h"

namespace icon::lab {

class LoadClient {
 public:
  // Starts icon-lab-load in `node` and waits until it is connected. `program` empty: beside this
  // executable. Errors: as run_load's, with what the program said; kNotFound (node, program).
  static Result<LoadClient> start(const Lab& lab, const std::string& node,
                                  const LoadOptions& options, const std::string& program = {});

  // Closes the window of measurement and opens `next`. Errors: kTimeout, kIo (the program ended).
  Result<LoadReport> mark(const std::string& next);
  // The current window so far.
  Result<LoadReport> report();
  // Waits for owed replies (LoadOptions::drain_max) and ends the program.
  Result<LoadReport> stop();
  // Takes in what was reported meanwhile, without waiting; the newest report, if there is one.
  const std::optional<LoadReport>& latest();

 private:
  LoadClient(ChildProcess child, UniqueFd commands, UniqueFd reports, UniqueFd errors)
      : child_(std::move(child)),
        commands_(std::move(commands)),
        reports_(std::move(reports)),
        errors_(std::move(errors)) {}
  Result<json::Object> next_line(Millis limit);
  Result<LoadReport> ask(const std::string& command, std::string_view event, Millis limit);
  tl::unexpected<Error> ended();

  ChildProcess child_;
  UniqueFd commands_;
  UniqueFd reports_;
  UniqueFd errors_;
  std::string unread_;
  std::optional<LoadReport> latest_;
  Millis drain_max_{0};
};

}  // namespace icon::lab
