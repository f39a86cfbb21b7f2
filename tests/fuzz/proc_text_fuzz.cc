// What a process shows of itself in /proc and sock_diag: much of it is its own choice.
#include "migration/movable/proc_text.h"
#include "migration/movable/unix_sockets.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::migration {

ICON_FUZZ_TARGET(proc_text) {
  if (const auto status = parse_status(input)) ICON_FUZZ_REQUIRE(status->state != '?');
  if (const auto mappings = parse_maps(input)) ICON_FUZZ_REQUIRE(mappings->size() <= kMappingsMax);
  if (const auto mounts = parse_mountinfo(input))
    for (const auto& mount : *mounts) ICON_FUZZ_REQUIRE(!mount.type.empty());
  const auto info = parse_fdinfo(input);
  ICON_FUZZ_REQUIRE(info.watches.size() <= kWatchesMax);
  for (const auto& watch : info.watches) ICON_FUZZ_REQUIRE(watch.handle.size() <= kHandleBytesMax);
  UnixSockets sockets;
  const auto* data = reinterpret_cast<const std::uint8_t*>(input.data());
  (void)parse_unix_diag({data, input.size()}, sockets);
}

}  // namespace icon::migration
