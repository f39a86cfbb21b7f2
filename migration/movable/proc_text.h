// The text of /proc/PID, parsed: status, maps, mountinfo, fdinfo. Pure. A process chooses much of
// it (its name, its paths), so nothing is taken for granted but the kernel's own escapes.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace icon::migration {

inline constexpr std::size_t kMountsMax = 10'000;
inline constexpr std::size_t kMappingsMax = 1'000'000;
inline constexpr std::size_t kWatchesMax = 256;  // of one descriptor: the rest is like these
inline constexpr std::size_t kHandleBytesMax = 128;

// A device number as the kernel writes it in these files.
struct DeviceNumber {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  auto operator<=>(const DeviceNumber&) const = default;
};

struct ProcessStatus {
  std::string name;
  char state = '?';  // 'R', 'S', 'D', 'T' (stopped), 't' (by a tracer), 'Z', 'X', 'I'
  int parent = 0;
  int tracer = 0;               // 0: nobody
  std::set<std::uint32_t> ids;  // real, effective and saved, of user and group
  std::vector<int> inner_ids;   // from our PID namespace inwards
};
// Errors: kInvalid.
Result<ProcessStatus> parse_status(std::string_view text);

struct Mapping {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  DeviceNumber device;
  std::uint64_t inode = 0;
  std::string path;  // "" for anonymous memory
};
// Errors: kInvalid, kLimit.
Result<std::vector<Mapping>> parse_maps(std::string_view text);

struct Mount {
  int id = 0;
  DeviceNumber device;
  std::string root;   // what of its file system is mounted
  std::string point;  // where, as the process sees it
  std::string type;   // "overlay", "fuse.sshfs"
};
// Errors: kInvalid, kLimit.
Result<std::vector<Mount>> parse_mountinfo(std::string_view text);

// What an inotify or fanotify descriptor looks at.
struct Watch {
  std::uint64_t inode = 0;
  DeviceNumber device;
  int handle_type = 0;
  std::string handle;  // bytes, for open_by_handle_at(2)
  bool operator==(const Watch&) const = default;
};

struct DescriptorInfo {
  unsigned flags = 0;  // of open(2)
  std::optional<int> mount;
  std::optional<int> process;  // of a pidfd; -1: it has ended
  std::optional<int> bpf_map_type;
  bool has_write_lease = false;  // fcntl(2), F_SETLEASE
  std::vector<Watch> watches;
};
// `text` may be cut off anywhere: an epoll descriptor has a line for everything in it. Lines that
// are not understood are skipped, since every kind of descriptor has its own.
DescriptorInfo parse_fdinfo(std::string_view text);

}  // namespace icon::migration
