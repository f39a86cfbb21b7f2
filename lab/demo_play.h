// The story of `icon demo`, from the empty machine to the figures. Blocking, one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "base/result.h"
#include "lab/demo_result.h"

namespace icon::lab {

struct DemoOptions {
  std::string lab_name = "demo";
  std::string topology_text;
  std::string rootfs;
  std::string criu;
  std::int64_t data_mb = 64;
  double rate_per_s = 20;  // per connection
  std::map<std::string, std::int64_t> prices_ucredits{{"dear", 5'000'000}};
  bool keep = false;
};

// How the story is told and when it must end early.
struct DemoStage {
  std::function<void(const std::string&)> say;       // one line of the story
  std::function<void(const std::string&)> headline;  // what happens next
  // Lets that much time pass. Errors: kCancelled (ctrl-C).
  std::function<Status(std::int64_t ms)> pass;
};

struct DemoOutcome {
  DemoResult result;
  DemoExpectations expectations;
};

// Nothing is left behind, whatever happens, unless `keep`; then ctrl-C still takes all away.
// Errors: what went wrong, for a person.
Result<DemoOutcome> play_demo(const DemoOptions& options, const DemoStage& stage);

}  // namespace icon::lab
