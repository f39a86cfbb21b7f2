// Finds the programs that a lab starts.
#pragma once

#include <string>

#include "base/result.h"

namespace icon::lab {

// In PATH, then in the sbin directories. Errors: kUnavailable naming the package to install.
Result<std::string> find_program(const std::string& name, const std::string& package);
// icon-lab-relay and icon-lab-guard: in `directory` if given, else beside this executable, else as
// above.
Result<std::string> find_helper(const std::string& name, const std::string& directory);
// Where AppArmor confines the program at its usual path to its usual files (Debian's unbound), the
// path of a copy in `directory`, which no profile names; else `program` itself.
Result<std::string> without_profile(const std::string& program, const std::string& directory);

}  // namespace icon::lab
