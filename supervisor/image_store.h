// Images that moves have brought (<state_dir>/images/DIGEST/rootfs) are kept for the next one, but
// not for ever: by age and by size, and never one that an ICON here uses. Blocking, short but for
// measure_images().
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace icon::supervisor {

struct ImageLimits {
  std::chrono::hours unused_max{7 * 24};
  std::uint64_t unused_bytes_max = 20ull << 30;  // of all that are not in use; the oldest go first
};

// Notes the size of each image beside it, where it is not known yet. For a worker's thread.
void measure_images(const std::string& directory);

// What goes is renamed to "DIGEST.old" at once, and is for the caller to remove (or for the next
// start). `used`: digests; their age begins anew.
std::vector<std::string> set_old_images_aside(const std::string& directory,
                                              const std::set<std::string>& used,
                                              const ImageLimits& limits,
                                              std::filesystem::file_time_type now);

}  // namespace icon::supervisor
