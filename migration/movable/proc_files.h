// Single looks at /proc/PID: links, facts of files, file handles.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "migration/movable/tree.h"

namespace icon::migration {

// "/proc/12/fd"
std::string proc_path(int pid, const std::string& name);
// The numbers among the entries of a directory, ascending. Empty when it is gone.
std::vector<int> numbers_in(const std::string& directory);
// Where a link points; nullopt when it is gone.
std::optional<std::string> link_target(const std::string& path);
// At most the first `bytes_max` bytes. Errors: kNotFound, kRefused, kIo.
Result<std::string> read_start(const std::string& path, std::size_t bytes_max);

// "net" -> inode, of what `names` says, from a directory ("/proc/12/ns").
Namespaces namespaces_in(const std::string& directory, std::span<const char* const> names);

// Of what a magic link leads to. `target`: what the link says; `root`: the process's root.
std::optional<FileFacts> facts_of(const std::string& link, const std::string& target,
                                  const std::string& root);

// Of a file on none of the tree's mounts: a POSIX message queue looks like any file.
bool is_message_queue(const std::string& link);

// Whether CRIU will find what is watched: by its file handle, which some file systems cannot
// resolve, or in the few directories that it searches.
bool watch_can_be_found(const Watch& watch, const std::vector<Mount>& mounts,
                        const std::string& root);

}  // namespace icon::migration
