// What every command of `icon` gets: where to write, whom to ask, how to print. Made by
// icon_main.cc, or by a test with string streams. One thread.
#pragma once

#include <functional>
#include <ostream>
#include <string>

#include "base/clock.h"
#include "cli/exit_codes.h"

namespace icon::cli {

inline constexpr const char* kDefaultSocket = "/run/icon/supervisor.sock";

struct Context {
  std::ostream& out;
  std::ostream& err;
  const Clock& clock;
  bool live = false;    // `out` is a terminal: lines may be redrawn
  bool colour = false;  // a terminal, and nobody objects (NO_COLOR, TERM=dumb)
  bool json = false;    // -o json
  std::string socket = kDefaultSocket;
};

// Prints a failure as a person needs it and returns its exit code.
int report(Context& context, const Failure& failure);

}  // namespace icon::cli
