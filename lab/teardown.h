// Takes labs away. Internal to Lab. Blocking.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace icon::lab {

// Everything of the lab but the processes `spared`. Errors: kIo naming what stayed.
Status take_down(const std::string& lab, const std::vector<int>& spared);
// Every lab and every leftover, see scan_leftovers().
Status take_down_all();

}  // namespace icon::lab
