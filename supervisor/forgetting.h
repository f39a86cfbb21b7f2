// What this host keeps of the past, and for how long: what explains a move or a stay is there for
// kPastKept, what only served an ICON or a sale goes with it. Loop thread only.
#pragma once

#include <cstddef>

#include "base/clock.h"
#include "base/result.h"

namespace icon::supervisor {

struct Host;

// Ended migrations with their evidence, and the decisions of ICONs that are not here any more.
inline constexpr Millis kPastKept{30LL * 24 * 3600 * 1000};
inline constexpr std::size_t kForgottenAtOnce = 100;  // of each: a row may have 512 KiB

// About once an hour. Whether there is more to forget at once. Errors: kIo.
Result<bool> forget_past(Host& host);

// ICONs that moved on and whose stub has ended: nothing leads from here to them any more, and their
// names are free again. Errors: kIo.
Status forget_moved(Host& host);

}  // namespace icon::supervisor
