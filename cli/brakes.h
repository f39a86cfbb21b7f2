// What holds a host, or an ICON, back: cordons, and a look at what would be done.
#pragma once

#include <string>

#include "cli/context.h"

namespace icon::cli {

// What the ICON would do now, and why: its agent looks at users, providers and money as in any
// round, and does nothing. Exit: 4 no such ICON; 5 it is busy with a move; 1 no agent listens.
int plan(Context& context, const std::string& icon);
// No new ICONs at this host, and no leases sold.
int cordon(Context& context, const std::string& reason);
int uncordon(Context& context);

}  // namespace icon::cli
