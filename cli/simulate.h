// `icon simulate`: what a policy would do in a world that is only computed.
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

}  // namespace icon::cli
