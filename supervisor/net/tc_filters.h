// Whether anybody filters at an interface: libbpf cannot list filters.
#pragma once

#include "base/result.h"

namespace icon::net {

// At its ingress or egress (clsact), whoever's. In the calling thread's namespace. Errors: kIo.
Result<bool> has_tc_filters(int interface);

}  // namespace icon::net
