#include "migration/memory/image_memory.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "base/file.h"

namespace icon::migration {
namespace {

constexpr std::size_t kRollupBytesMax = 64 << 10;
constexpr std::uint64_t kKibMax = std::uint64_t{1} << 40;

// "Pss_Shmem:            1024 kB"
Result<std::uint64_t> kib_of(std::string_view text, std::string_view name) {
  const auto at = text.find("\n" + std::string(name) + ":");
  if (at == std::string_view::npos)
    return fail(Code::kInvalid, "smaps_rollup has no " + std::string(name));
  auto rest = text.substr(at + name.size() + 2);
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  std::uint64_t kib = 0;
  const auto read = std::from_chars(rest.data(), rest.data() + rest.size(), kib);
  if (read.ec != std::errc() || kib > kKibMax)
    return fail(Code::kInvalid, "smaps_rollup's " + std::string(name) + " is no size");
  return kib;
}

}  // namespace

Result<std::uint64_t> image_memory_of(std::string_view smaps_rollup) {
  // Of both only each sharer's part. Locked memory may be shared, too: then it is in both.
  ICON_TRY(const auto shared, kib_of(smaps_rollup, "Pss_Shmem"));
  ICON_TRY(const auto locked, kib_of(smaps_rollup, "Locked"));
  return std::max(shared, locked) << 10;
}

Result<std::uint64_t> image_memory(std::span<const int> pids) {
  std::uint64_t bytes = 0;
  for (const int pid : pids) {
    const auto text = read_file("/proc/" + std::to_string(pid) + "/smaps_rollup", kRollupBytesMax);
    // ESRCH: one without memory any more.
    if (!text && (text.error().code == Code::kNotFound || text.error().code == Code::kIo)) continue;
    if (!text) return fail(text.error());
    ICON_TRY(const auto of_one, image_memory_of(*text));
    bytes += of_one;
  }
  return bytes;
}

}  // namespace icon::migration
