// `icon check`: is everything here that a host (or the lab) needs? Each finding says what was seen
// and, when it is not right, what to do.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/context.h"

namespace icon::cli {

enum class CheckState {
  kOk,
  kWarning,  // works without, with a loss that `detail` names
  kMissing,  // a host cannot work
};

struct Finding {
  std::string name;
  CheckState state = CheckState::kOk;
  std::string detail;
  std::string fix;  // empty when nothing is to be done
};

struct CheckOptions {
  std::string state_dir = "/var/lib/icon";
  std::string criu;  // "" = beside this program, then PATH
  std::string runc = "runc";
  std::string program_dir;  // where icon-agent, icon-supervisor and icon-stub should be
};

// Looks at this machine; takes about a second (`criu check`). Leaves nothing behind.
std::vector<Finding> run_checks(const CheckOptions& options, const std::string& socket);

// How a list of findings ends, by what is in it.
struct FindingWords {
  std::string bad = "missing";  // the name of the worst state
  std::string all_good = "This machine can be a host.";
  std::string with_warnings = "This machine can be a host, with the limits named above.";
  std::string not_good;  // empty: how many things are missing
};

// Prints and returns kFailed when something needed is missing.
int show_findings(Context& context, const std::vector<Finding>& findings,
                  const FindingWords& words = {});

}  // namespace icon::cli
