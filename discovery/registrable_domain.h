// Who a host name belongs to: the domain that somebody registered, by the public suffix list.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace icon::discovery {

// "ae1.r2.isp.co.uk" -> "isp.co.uk". An unknown top-level domain (".test") counts as one public
// suffix (the list's "*" rule). Reads no file: the list is built in.
// Errors: kInvalid (not a host name), kNotFound (the name is itself a public suffix).
Result<std::string> registrable_domain(std::string_view host);

}  // namespace icon::discovery
