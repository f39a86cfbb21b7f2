// What CRIU's dump and restore share. Private to criu_*.cc.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace icon::migration::criu {

// The last errors of a CRIU log, for a person.
std::string log_errors(const std::string& path);

void append(std::vector<std::string>& arguments, std::initializer_list<std::string> more);
// Options that dump and restore must agree on.
std::vector<std::string> common_arguments(const std::string& work_dir);

inline constexpr const char* kKerndatCache = "--kerndat-cache";
inline constexpr const char* kKerndatFile = "criu.kdat";

// The directories in /tmp that CRIUs left which were killed (named-roots.patch). Those of the
// living and of other versions stay.
void clear_after_the_dead();

// CRIU works inside the service's network namespace: sockets are then its own affair and not part
// of a namespace that it would have to describe, which costs it about 30 ms at each end. For
// Command::before_exec and the like.
std::function<int()> in_netns(std::shared_ptr<const UniqueFd> netns);
Result<std::shared_ptr<const UniqueFd>> open_netns(const std::string& path);

}  // namespace icon::migration::criu
