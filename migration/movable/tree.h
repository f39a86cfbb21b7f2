// A process tree as it was at one moment, as far as it matters for a move: what tree_reader.h reads
// from the kernel and obstacles.h judges.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "migration/movable/proc_text.h"
#include "migration/movable/unix_sockets.h"

namespace icon::migration {

// "net" -> the namespace's inode.
using Namespaces = std::map<std::string, std::uint64_t>;

struct FileFacts {
  mode_t mode = 0;
  DeviceNumber node;         // of a device file: which device
  std::uint64_t links = 0;   // 0: no name leads to it
  std::uint64_t bytes = 0;   // on the disk: holes do not count
  std::optional<int> mount;  // its mount's id; nullopt: not known
  bool named = true;         // its path leads to it
  bool is_queue = false;     // a POSIX message queue
};

struct Descriptor {
  int number = 0;
  std::string target;       // as readlink says: "/path", "socket:[12]", "anon_inode:[eventpoll]"
  std::string socket_kind;  // of sockets: "TCP", "UNIX-STREAM"; empty: not known
  FileFacts file;           // where `target` is a path
  DescriptorInfo info;
  std::optional<Watch> lost_watch;  // one that cannot be found again from its file handle
};

struct MappedFile {
  std::string path;
  FileFacts file;
};

struct Process {
  int pid = 0;
  int inner_pid = 0;  // as the process sees itself
  std::string name;
  char state = 'S';
  int tracer = 0;
  std::set<std::uint32_t> ids;  // of user and group, as this host knows them
  bool is_visitor = false;  // came in from outside (`runc exec`, `nsenter`): no child of the tree
  Namespaces namespaces;
  std::vector<Descriptor> descriptors;
  std::vector<MappedFile> mapped;
  // Threads that do not share something with the others: what it is.
  std::map<int, std::string> loners;
};

// Somebody outside who holds the other end of something.
struct Outsider {
  int pid = 0;
  std::string name;
};

struct ProcessTree {
  int root = 0;
  std::vector<Process> processes;  // the root first
  std::vector<Mount> mounts;       // of the root's mount namespace
  std::set<int> mount_ids;         // of all mount namespaces in the tree
  UnixSockets unix_sockets;        // of all network namespaces in the tree
  Namespaces host;                 // those of who looks
  // "pipe:[12]", "socket:[13]" -> who holds one of the same, or its other end.
  std::map<std::string, Outsider> outsiders;
};

}  // namespace icon::migration
