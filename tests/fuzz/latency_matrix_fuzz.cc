// Anybody's latency matrix: read whole, every number in range, or refused with a reason.
#include "simulate/matrix.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::simulate {

ICON_FUZZ_TARGET(latency_matrix) {
  const auto matrix = read_matrix(input);
  if (!matrix) {
    ICON_FUZZ_REQUIRE(!matrix.error().message.empty());
    return;
  }
  const auto size = matrix->names.size();
  ICON_FUZZ_REQUIRE(size > 0 && size <= kRegionsMax && matrix->rtt_us.size() == size * size);
  for (const auto rtt_us : matrix->rtt_us) ICON_FUZZ_REQUIRE(rtt_us >= 0 && rtt_us <= 60'000'000);
  const auto same = choose_regions(*matrix, matrix->names);
  ICON_FUZZ_REQUIRE(same && same->rtt_us == matrix->rtt_us);
}

}  // namespace icon::simulate
