// `icon-agent discover`: one discovery run, printed. Shows that it works with no privilege at all.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"

namespace icon::agent {

// `targets`: addresses, or "@FILE" with one on each line. Exit code: 0 when the run ended (even
// with no provider), 1 when it could not, 64 for a target that is no address.
int run_discover(const std::vector<std::string>& targets, bool as_json, const Clock& clock);

}  // namespace icon::agent
