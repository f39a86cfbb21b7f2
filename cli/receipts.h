// `icon receipts verify`: whether the bills of leases are right, from their signed documents.
#pragma once

#include <string>
#include <vector>

#include "cli/context.h"

namespace icon::cli {

// Files of documents, one JSON object per line, ledgers, or ICONs of this host. Exit: 0 every bill
// is right, 5 one is not; 1, 2, 4 no reading.
int verify_receipts(Context& context, const std::vector<std::string>& files);

}  // namespace icon::cli
