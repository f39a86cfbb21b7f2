#include "tests/fuzz/fuzz_target.h"

#include <cstdio>
#include <cstdlib>

namespace icon::fuzz {

std::vector<Target>& targets() {
  static std::vector<Target> all;
  return all;
}

void broken(const char* what, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
  std::abort();
}

}  // namespace icon::fuzz
