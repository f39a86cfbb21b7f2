// Trees that tenants have filled may hold millions of files. They are renamed aside at once and
// removed by the bulk worker: the loop, and with it the whole host, never waits for that. Loop
// thread only.
#pragma once

#include <string>

#include "base/result.h"

namespace icon::supervisor {

// Of what is being removed; below Config::state_dir.
inline constexpr const char* kRemovedDirectory = "removed";

// When it returns nothing is at `path`, the removal goes on. What is not there is fine. On another
// file system than `state_dir` (a mount of the operator's) it is removed in place, at once. Errors:
// kIo.
Status remove_later(const std::string& state_dir, const std::string& path);
// In two steps: a name among what is being removed, for others to move a tree to, and its removal.
// What is not there is fine.
std::string place_aside(const std::string& state_dir, const std::string& path);
void remove_aside(std::string aside);
// What an earlier process had not removed yet.
void remove_left_aside(const std::string& state_dir);

}  // namespace icon::supervisor
