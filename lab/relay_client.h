// Speaks to a lab's relay over its socket. Blocking, with a limit.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "lab/delay_line.h"
#include "lab/topology.h"

namespace icon::lab {

struct CarriedState {
  Shape shape;
  bool up = true;
  LineCounters from_a;
  LineCounters from_b;
};

// Every link that the relay carries, by name. Errors: kNotFound (no relay), kTimeout, kIo,
// kInvalid.
Result<std::map<std::string, CarriedState>> relay_status(const std::string& socket_path);
Status relay_set(const std::string& socket_path, const std::string& link, const Shape& shape,
                 bool up);

}  // namespace icon::lab
