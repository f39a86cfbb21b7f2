// `icon auction verify`: anybody computes an auction again from its signed documents.
#pragma once

#include <string>
#include <vector>

#include "cli/context.h"

namespace icon::cli {

// Files of documents, one JSON object per line; several are one record: the auctioneer's, and what
// a party kept of its own. Exit: 0 the signed outcome follows; 5 it does not; 1, 2, 4 no reading.
int verify_auction(Context& context, const std::vector<std::string>& files);

}  // namespace icon::cli
