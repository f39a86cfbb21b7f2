// `icon simulate`: what a policy would do in a world that is only computed. `icon whatif`: what it
// would have done with what a running ICON saw.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/context.h"

namespace icon::cli {

struct SimulateOptions {
  std::int64_t nodes = 20;
  std::int64_t services = 20;
  std::int64_t users = 2'000;
  std::int64_t hours = 24;
  std::uint64_t seed = 1;
  bool watched = false;
  std::vector<std::string> regions;  // empty: the matrix's, else three
  std::string policy_file;
  std::string matrix_file;  // empty: a synthetic internet
  std::string plots;        // directory; empty: none
};

// Exit: 0; 2 a file or a number is wrong; 130 after ctrl-C, and then nothing is printed or written.
int run_simulation(Context& context, const SimulateOptions& options);

struct WhatIfOptions {
  std::string policy_file;
  std::string record_file;
};

// Exit: 0; 2 the policy or the record is wrong.
int run_what_if(Context& context, const WhatIfOptions& options);

}  // namespace icon::cli
