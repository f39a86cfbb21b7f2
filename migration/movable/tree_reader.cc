#include "migration/movable/tree_reader.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <tuple>

#include "migration/movable/proc_files.h"

namespace icon::migration {
namespace {

constexpr std::size_t kStatusBytesMax = 64 << 10;
constexpr std::size_t kMapsBytesMax = 64 << 20;
constexpr std::size_t kMountinfoBytesMax = 8 << 20;
constexpr std::size_t kFdinfoBytesMax = 128 << 10;
constexpr std::size_t kThreadsMax = 4'096;         // of one process; the rest is taken for ordinary
constexpr std::size_t kLostWatchTestsMax = 64;     // of one descriptor
constexpr std::size_t kOutsideLinksMax = 500'000;  // that are looked at for the other ends

// time_for_children: a process may have made a namespace that only its children enter.
constexpr std::array kNamespaceNames = {"cgroup", "ipc",  "mnt", "net",
                                        "pid",    "user", "uts", "time_for_children"};
constexpr std::array kThreadNamespaces = {"ipc", "mnt", "net", "uts"};
constexpr std::array kPidNamespace = {"pid"};

bool starts_with_any(const std::string& text, std::initializer_list<const char*> beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(),
                     [&](const char* beginning) { return text.starts_with(beginning); });
}

class Reader {
 public:
  explicit Reader(int root) { tree_.root = root; }

  Result<ProcessTree> read() {
    tree_.host = namespaces_in("/proc/self/ns", kNamespaceNames);
    ICON_CHECK(find_processes());
    ICON_CHECK(read_mounts());
    for (auto& process : tree_.processes) ICON_CHECK(read_process(process));
    // After the descriptors: a socket that was made meanwhile is in this list.
    ICON_CHECK(read_unix_sockets());
    find_outsiders();
    return std::move(tree_);
  }

 private:
  struct Candidate {
    ProcessStatus status;
    bool taken = false;
  };

  void take(int pid, Candidate& candidate, bool is_visitor) {
    Process process;
    process.pid = pid;
    process.inner_pid =
        candidate.status.inner_ids.empty() ? pid : candidate.status.inner_ids.back();
    process.name = candidate.status.name;
    process.state = candidate.status.state;
    process.tracer = candidate.status.tracer;
    process.ids = candidate.status.ids;
    process.is_visitor = is_visitor;
    process.namespaces = namespaces_in(proc_path(pid, "ns"), kNamespaceNames);
    candidate.taken = true;
    tree_.processes.push_back(std::move(process));
  }

  void take_descendants(std::size_t from, bool are_visitors) {
    for (std::size_t i = from; i < tree_.processes.size(); ++i)
      for (auto& [pid, candidate] : candidates_)
        if (!candidate.taken && candidate.status.parent == tree_.processes[i].pid)
          take(pid, candidate, are_visitors);
  }

  Status find_processes() {
    for (const int pid : numbers_in("/proc")) {
      const auto text = read_start(proc_path(pid, "status"), kStatusBytesMax);
      const auto status = text ? parse_status(*text) : Result<ProcessStatus>(fail(text.error()));
      if (status) candidates_[pid].status = *status;
    }
    const auto root = candidates_.find(tree_.root);
    if (root == candidates_.end())
      return fail(Code::kNotFound, "no process " + std::to_string(tree_.root));
    take(root->first, root->second, false);
    const Namespaces own = tree_.processes.front().namespaces;
    if (own.size() != kNamespaceNames.size())
      return fail(Code::kRefused, "process " + std::to_string(tree_.root) +
                                      " cannot be looked into: root is needed");
    take_descendants(0, false);
    const auto pid_namespace = own.at("pid");
    if (pid_namespace != tree_.host["pid"])
      for (auto& [pid, candidate] : candidates_) {
        if (candidate.taken) continue;
        const auto theirs = namespaces_in(proc_path(pid, "ns"), kPidNamespace);
        if (theirs.empty() || theirs.at("pid") != pid_namespace) continue;
        take(pid, candidate, true);
        take_descendants(tree_.processes.size() - 1, true);
      }
    if (tree_.processes.size() > kTreeProcessesMax)
      return fail(Code::kLimit, "more than 8,192 processes");
    return {};
  }

  Status read_mounts() {
    std::set<std::uint64_t> seen;
    for (const auto& process : tree_.processes) {
      const auto space = process.namespaces.find("mnt");
      if (process.is_visitor || space == process.namespaces.end() ||
          !seen.insert(space->second).second)
        continue;
      const auto text = read_start(proc_path(process.pid, "mountinfo"), kMountinfoBytesMax);
      if (!text && process.pid == tree_.root) return fail(text.error());
      if (!text) continue;
      ICON_TRY(auto mounts, parse_mountinfo(*text));
      for (const auto& mount : mounts) tree_.mount_ids.insert(mount.id);
      if (process.pid == tree_.root) tree_.mounts = std::move(mounts);
    }
    return {};
  }

  Status read_process(Process& process) {
    if (process.state == 'Z' || process.is_visitor) return {};
    const std::string root = proc_path(process.pid, "root");
    const std::string directory = proc_path(process.pid, "fd");
    for (const int number : numbers_in(directory)) {
      if (++descriptors_ > kTreeDescriptorsMax)
        return fail(Code::kLimit, "more than 400,000 descriptors");
      if (auto descriptor = read_descriptor(process, number, root))
        process.descriptors.push_back(std::move(*descriptor));
    }
    read_mapped(process, root);
    read_threads(process);
    return {};
  }

  std::optional<Descriptor> read_descriptor(const Process& process, int number,
                                            const std::string& root) {
    const std::string link = proc_path(process.pid, "fd/" + std::to_string(number));
    auto target = link_target(link);
    if (!target) return std::nullopt;
    Descriptor descriptor;
    descriptor.number = number;
    descriptor.target = std::move(*target);
    if (descriptor.target.starts_with('/')) {
      const auto facts = facts_of(link, descriptor.target, root);
      if (!facts) return std::nullopt;
      descriptor.file = *facts;
      if (S_ISREG(descriptor.file.mode) && descriptor.file.mount &&
          !tree_.mount_ids.contains(*descriptor.file.mount))
        descriptor.file.is_queue = is_message_queue(link);
    } else if (descriptor.target.starts_with("socket:")) {
      std::array<char, 64> kind{};
      const auto size =
          getxattr(link.c_str(), "system.sockprotoname", kind.data(), kind.size() - 1);
      if (size > 0) descriptor.socket_kind = kind.data();
      return descriptor;
    }
    // Of the others, few have something to say that matters.
    if (S_ISREG(descriptor.file.mode) ||
        starts_with_any(descriptor.target, {"anon_inode:", "pipe:", "pidfd:"})) {
      const auto text =
          read_start(proc_path(process.pid, "fdinfo/" + std::to_string(number)), kFdinfoBytesMax);
      if (!text) return std::nullopt;
      descriptor.info = parse_fdinfo(*text);
    }
    std::size_t tests = 0;
    for (const auto& watch : descriptor.info.watches) {
      if (++tests > kLostWatchTestsMax) break;
      if (watch_can_be_found(watch, tree_.mounts, proc_path(tree_.root, "root"))) continue;
      descriptor.lost_watch = watch;
      break;
    }
    return descriptor;
  }

  // The working directory is judged like a mapped file: it must be on a mount of the tree.
  void read_mapped(Process& process, const std::string& root) {
    const auto text = read_start(proc_path(process.pid, "maps"), kMapsBytesMax);
    const auto mappings =
        text ? parse_maps(*text) : Result<std::vector<Mapping>>(fail(text.error()));
    if (!mappings) return;  // it has ended
    std::set<std::tuple<std::string, DeviceNumber, std::uint64_t>> seen;
    for (const auto& mapping : *mappings) {
      if (mapping.path.empty() || !seen.emplace(mapping.path, mapping.device, mapping.inode).second)
        continue;
      MappedFile mapped{mapping.path, {}};
      if (mapping.path.starts_with('/')) {
        std::array<char, 64> name;
        std::snprintf(name.data(), name.size(), "map_files/%lx-%lx", mapping.start, mapping.end);
        const auto facts = facts_of(proc_path(process.pid, name.data()), mapping.path, root);
        if (!facts) continue;
        mapped.file = *facts;
      }
      process.mapped.push_back(std::move(mapped));
    }
    const std::string cwd = proc_path(process.pid, "cwd");
    if (const auto target = link_target(cwd))
      if (const auto facts = facts_of(cwd, *target, root))
        process.mapped.push_back({*target, *facts});
  }

  static void read_threads(Process& process) {
    const auto threads = numbers_in(proc_path(process.pid, "task"));
    if (threads.size() < 2) return;
    const auto shared = namespaces_in(proc_path(process.pid, "ns"), kThreadNamespaces);
    const auto directory = link_target(proc_path(process.pid, "cwd"));
    for (std::size_t i = 0; i < std::min(threads.size(), kThreadsMax); ++i) {
      if (threads[i] == process.pid) continue;
      const std::string task = proc_path(process.pid, "task/" + std::to_string(threads[i]));
      const auto own = namespaces_in(task + "/ns", kThreadNamespaces);
      if (own.size() != kThreadNamespaces.size()) continue;  // it has ended
      for (const auto& [name, inode] : own)
        if (shared.contains(name) && shared.at(name) != inode)
          process.loners[threads[i]] = "a " + name + " namespace";
      if (syscall(SYS_kcmp, process.pid, threads[i], KCMP_FILES, 0, 0) > 0)
        process.loners[threads[i]] = "a table of descriptors";
      if (const auto own_directory = link_target(task + "/cwd"); own_directory != directory)
        if (own_directory) process.loners[threads[i]] = "a working directory";
    }
  }

  Status read_unix_sockets() {
    std::set<std::uint64_t> seen;
    for (const auto& process : tree_.processes) {
      const auto space = process.namespaces.find("net");
      if (process.is_visitor || space == process.namespaces.end() ||
          !seen.insert(space->second).second)
        continue;
      const UniqueFd netns(open(proc_path(process.pid, "ns/net").c_str(), O_RDONLY | O_CLOEXEC));
      if (!netns) continue;
      ICON_TRY(auto sockets, unix_sockets_of(netns));
      tree_.unix_sockets.merge(sockets);
    }
    return {};
  }

  // Pipes of which the tree holds one end only, and the other ends of its AF_UNIX sockets.
  std::set<std::string> missing_ends() const {
    std::map<std::string, unsigned> ends;  // 1: read, 2: written
    std::set<std::string> sockets;
    std::set<std::string> missing;
    for (const auto& process : tree_.processes)
      for (const auto& descriptor : process.descriptors) {
        if (descriptor.target.starts_with("socket:")) sockets.insert(descriptor.target);
        if (!descriptor.target.starts_with("pipe:")) continue;
        const unsigned mode = descriptor.info.flags & O_ACCMODE;
        ends[descriptor.target] |= mode == O_RDONLY ? 1U : mode == O_WRONLY ? 2U : 3U;
      }
    for (const auto& [pipe, held] : ends)
      if (held != 3) missing.insert(pipe);
    for (const auto& [inode, socket] : tree_.unix_sockets) {
      const std::string target = "socket:[" + std::to_string(socket.peer) + "]";
      if (socket.peer != 0 && sockets.contains("socket:[" + std::to_string(inode) + "]") &&
          !sockets.contains(target))
        missing.insert(target);
    }
    return missing;
  }

  void find_outsiders() {
    const auto missing = missing_ends();
    if (missing.empty()) return;
    std::size_t links = 0;
    for (const auto& [pid, candidate] : candidates_) {
      if (candidate.taken) continue;
      const std::string directory = proc_path(pid, "fd/");
      for (const int number : numbers_in(directory)) {
        if (++links > kOutsideLinksMax) return;
        const auto target = link_target(directory + std::to_string(number));
        if (target && missing.contains(*target))
          tree_.outsiders.try_emplace(*target, Outsider{pid, candidate.status.name});
      }
    }
  }

  ProcessTree tree_;
  std::map<int, Candidate> candidates_;
  std::size_t descriptors_ = 0;
};

}  // namespace

Result<ProcessTree> read_tree(int root) { return Reader(root).read(); }

}  // namespace icon::migration
