// Trees that somebody else changes while we look at them, as root: no link on the way is followed,
// and what goes meanwhile is left out.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace icon::migration {

// Errors: kNotFound, kIo.
Result<UniqueFd> open_tree(const std::string& directory);

// One entry, by a path that leads to nothing else whatever becomes of the directories on the way.
struct Place {
  UniqueFd parent;
  std::string path;  // "/proc/self/fd/7/name", as long as `parent` is open
};
// The entry itself need not exist. Errors: kNotFound: a directory on the way is gone, or something
// else has its place; kInvalid: `relative` names no entry below the tree; kIo.
Result<Place> find_place(const UniqueFd& tree, const std::string& relative);

// Paths below `directory`, parents before children, sorted: the order is the same on each host.
// Everything that stays is in it. Errors: kNotFound, kIo.
Result<std::vector<std::string>> list_tree(const std::string& directory);

}  // namespace icon::migration
