// Our own bugs stop the process, in release too. A peer's input is never asserted on.
#pragma once

namespace icon {
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);
}

#define ICON_ASSERT(expression) \
  ((expression) ? void() : ::icon::assertion_failed(#expression, __FILE__, __LINE__))
