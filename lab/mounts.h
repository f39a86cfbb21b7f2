// Mount points of this mount namespace. Blocking; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace icon::lab {

// Under `directory` or at it, deepest first.
std::vector<std::string> mounts_under(const std::string& directory);
// What process `pid` has as its root file system: source path within its file system and mount
// options in one text ("" when it cannot be read). Tells a container from a process of the machine.
std::string root_mount_of(int pid);
// The same from the text of a mountinfo file (proc_pid_mountinfo(5)). Pure.
std::vector<std::string> parse_mount_points(std::string_view mountinfo);
std::string parse_root_mount(std::string_view mountinfo);

}  // namespace icon::lab
