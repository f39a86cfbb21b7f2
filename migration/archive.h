// Trees of files as pax tar streams (libarchive): images, writable layers, checkpoints. Blocking:
// run on a worker thread (migration/worker.h) with a pipe in between.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace icon::migration {

struct TreePart {
  std::string prefix;     // first path component in the archive: "upper"
  std::string directory;  // where it lies on this host
  // When set: only these paths (relative to `directory`), directories on the way included.
  const std::set<std::string>* only = nullptr;
};

struct ArchiveReport {
  // "prefix/path" of every regular file -> "size:blake2b-256 hex".
  std::map<std::string, std::string> files;
  std::uint64_t bytes = 0;  // on the wire
};

// Bytes written so far, for progress. Called on the worker's thread.
using Progress = std::function<void(std::uint64_t bytes)>;

// Keeps owners, modes, times, links, devices and extended attributes (overlay whiteouts and opaque
// marks included); sockets are left out: they cannot be restored from a file. What vanishes while
// it goes on is left out, too, and what comes to lie behind a link; a file that shrinks while it is
// read is padded with zeroes, one that grows is cut: the reader sees a whole archive. Errors: kIo.
Result<ArchiveReport> write_tar(int fd, const std::vector<TreePart>& parts,
                                const Progress& progress);

struct PartLimit {
  std::uint64_t bytes_max = 0;
  std::string whose;  // for the error: "a slot of 4 GiB"
};

struct ExtractLimits {
  std::uint64_t bytes_max = 0;  // what the files hold together, holes included
  std::uint64_t entries_max = 1'000'000;
  std::map<std::string, PartLimit> parts = {};  // of those that have one
};

// Extracts entries "prefix/..." into the directory of that prefix (which must exist, and may lie
// behind links of the operator's). Refused: other prefixes, absolute paths, "..", a prefix itself
// that is no directory, hard links out of their prefix, more than the limits allow. A symbolic link
// on the way to an entry is removed, not followed; a directory gives way to an entry that is none,
// with all that it holds. Owners, set-id bits and devices are kept: where
// the trees are mounted decides what they may do. Errors: kInvalid, kLimit, kIo.
Result<ArchiveReport> read_tar(int fd, const std::map<std::string, std::string>& directories,
                               ExtractLimits limits);

// BLAKE2b-256 (hex) over the sorted entries of a tree: path, type, mode, owner, size, content, link
// target, device. Times do not count. Errors: kIo.
Result<std::string> tree_digest(const std::string& directory);

// What a tree looked like: enough to tell later what has changed.
struct FileStamp {
  std::int64_t size = 0;
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;
  std::uint64_t inode = 0;
  std::uint32_t mode = 0;
  auto operator<=>(const FileStamp&) const = default;
};
using TreeSnapshot = std::map<std::string, FileStamp>;
// Of a tree that changes meanwhile, everything that stays is in it. Errors: kIo.
Result<TreeSnapshot> scan_tree(const std::string& directory);
// For TreePart::only: what has been looked at is what is sent, and difference() knows of all of it.
std::set<std::string> paths_of(const TreeSnapshot& snapshot);

struct TreeDifference {
  std::set<std::string> changed;  // new or different
  std::vector<std::string> removed;
};
TreeDifference difference(const TreeSnapshot& before, const TreeSnapshot& after);

// Removes `relative` paths below `directory`; what a link on the way leads to stays. With `aside`,
// a directory that is made here on the same file system, whole directories are only moved into it:
// to remove them may take long. Errors: kInvalid for paths that leave the directory.
Status remove_paths(const std::string& directory, const std::vector<std::string>& relative,
                    const std::string& aside = "");

}  // namespace icon::migration
