// libFuzzer's entry: runs the one target that is linked in.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const auto& target : icon::fuzz::targets())
    target.run({reinterpret_cast<const char*>(data), size});
  return 0;
}
