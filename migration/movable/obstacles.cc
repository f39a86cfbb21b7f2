#include "migration/movable/obstacles.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>
#include <charconv>

#include "migration/checkpointer.h"
#include "migration/movable/users.h"

namespace icon::migration {
namespace {

constexpr std::size_t kObstaclesMax = 1'000;
constexpr std::size_t kTextBytesMax = 64 << 10;

struct Known {
  std::string_view name;
  const char* kind;
  const char* what;
  const char* fix;
};

// "anon_inode:..." that cannot be carried; any other that is not in kCarried is refused as well.
constexpr std::array kAnonymous = {
    Known{
        "[io_uring]", "io_uring", "an io_uring, which CRIU cannot dump",
        "Turn it off in the service (UV_USE_IO_URING=0 for Node, io_method=worker for PostgreSQL, "
        "aio threads for nginx)"},
    Known{"[userfaultfd]", "userfaultfd", "a userfaultfd of its own",
          "Turn off what handles page faults in user space (a garbage collector, a live dump)"},
    Known{"[perf_event]", "perf_event", "a performance counter",
          "Stop the profiler before the move"},
    Known{"bpf-prog", "bpf", "a BPF program", "Load it from outside the container"},
    Known{"seccomp notify", "seccomp_listener", "a listener of system calls (seccomp notify)",
          "Run what supervises system calls outside the container"},
    Known{"[landlock-ruleset]", "landlock", "a Landlock ruleset",
          "Close it once the rules are in force"}};

constexpr std::array kCarried = {"[eventfd]",  "[eventpoll]", "inotify", "[fanotify]",
                                 "[signalfd]", "[timerfd]",   "[pidfd]", "bpf-map"};

constexpr std::array kSockets = {Known{"MPTCP", "mptcp", "a multipath TCP socket",
                                       "Turn multipath TCP off (GODEBUG=multipathtcp=0 for Go)"},
                                 Known{"AF_VSOCK", "vsock", "a vsock socket", "Use TCP"}};
constexpr std::array kSocketsCarried = {"UNIX",  "UNIX-STREAM", "TCP",    "TCPv6",  "UDP",
                                        "UDPv6", "UDP-Lite",    "RAW",    "RAWv6",  "UDPLITEv6",
                                        "PING",  "PINGv6",      "PACKET", "NETLINK"};

// File systems that CRIU makes again from what is in the images, or that hold nothing.
constexpr std::array kFileSystems = {"proc",    "sysfs",   "devtmpfs", "tmpfs",      "devpts",
                                     "mqueue",  "cgroup",  "cgroup2",  "pstore",     "securityfs",
                                     "debugfs", "tracefs", "fusectl",  "binfmt_misc"};

constexpr const char* kOutsideFix =
    "Close it, or let the service open what it needs by itself, inside the container";

template <class List, class Item>
bool holds(const List& list, const Item& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

template <class List>
const Known* find_known(const List& list, std::string_view name) {
  for (const Known& known : list)
    if (name.starts_with(known.name)) return &known;
  return nullptr;
}

// "pipe:[12]" -> 12
std::uint64_t inode_in(std::string_view target) {
  const auto from = target.find('[');
  std::uint64_t inode = 0;
  if (from != std::string_view::npos)
    std::from_chars(target.data() + from + 1, target.data() + target.size(), inode);
  return inode;
}

// CRIU's own classes (files.c, tty.c): memory devices, terminals, automounts. Not TUN:
// that needs a network namespace that CRIU makes.
bool is_carried_device(const DeviceNumber& device) {
  constexpr unsigned kMemory = 1, kMisc = 10, kAutofsMinor = 235;
  constexpr unsigned kTerminalAuxiliary = 5, kTerminal = 4, kConsolesMax = 63;
  constexpr unsigned kPtyFirst = 128, kPtyLast = 136, kSerial = 204, kUsbSerial = 188;
  switch (device.major) {
    case kMemory:
    case kSerial:
    case kUsbSerial:
      return true;
    case kMisc:
      return device.minor == kAutofsMinor;
    case kTerminalAuxiliary:
      return device.minor <= 2;
    case kTerminal:
      return device.minor >= 1 && device.minor <= kConsolesMax;
    default:
      return device.major >= kPtyFirst && device.major <= kPtyLast;
  }
}

// Processes choose their names and paths; these words go into JSON, logs and onto terminals.
std::string legible(std::string text) {
  const bool is_utf8 = json::parse(boost::json::serialize(text), kTextBytesMax).has_value();
  for (char& c : text)
    if (const auto byte = static_cast<unsigned char>(c);
        byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !is_utf8))
      c = '?';
  return text;
}

class Judge {
 public:
  Judge(const ProcessTree& tree, const Provisions& provisions)
      : tree_(tree), provisions_(provisions) {
    for (const auto& process : tree.processes) {
      pids_.insert(process.pid);
      for (const auto& descriptor : process.descriptors)
        if (descriptor.target.starts_with("socket:")) sockets_.insert(inode_in(descriptor.target));
      for (const auto& [name, inode] : process.namespaces) namespaces_.insert(inode);
    }
  }

  std::vector<Obstacle> run() {
    for (const auto& process : tree_.processes) {
      process_ = &process;
      if (process.is_visitor) {
        add("visitor", "",
            "came into the container from outside: it is not part of the service "
            "and ends here when the service leaves",
            "Wait for its end (runc exec, nsenter)", false);
        continue;
      }
      judge_state();
      if (auto user = user_obstacle(tree_, process, provisions_))
        add(user->kind, "", user->what, user->fix);
      for (const auto& descriptor : process.descriptors) judge_descriptor(descriptor);
      for (const auto& mapped : process.mapped) judge_mapped(mapped);
    }
    process_ = &tree_.processes.front();
    const auto& spaces = process_->namespaces;
    // The host's own mounts are no news when the whole namespace is.
    if (!spaces.contains("mnt") || !tree_.host.contains("mnt") ||
        spaces.at("mnt") != tree_.host.at("mnt"))
      for (const auto& mount : tree_.mounts) judge_mount(mount);
    return std::move(obstacles_);
  }

 private:
  void add(std::string kind, std::string where, std::string what, std::string fix,
           bool blocks = true) {
    if (obstacles_.size() >= kObstaclesMax) return;
    obstacles_.push_back({std::move(kind), process_->pid, process_->inner_pid,
                          legible(process_->name), legible(std::move(where)),
                          legible(std::move(what)), std::move(fix), blocks});
  }

  void judge_state() {
    if (process_->tracer != 0)
      add("traced", "", fmt::format("is traced by process {}", process_->tracer),
          "Detach the debugger or tracer");
    if (process_->state == 'T')
      add("stopped", "", "is stopped (SIGSTOP): CRIU waits for it without end",
          "Continue it (kill -CONT), or end it");
    const bool is_root = process_->pid == tree_.root;
    const Namespaces& roots = tree_.processes.front().namespaces;
    for (const auto& [name, inode] : process_->namespaces) {
      const std::string word = name == "time_for_children" ? "time" : name;
      // CRIU makes mount namespaces again; it works inside the one network namespace (ours).
      if (!is_root && name != "mnt" && roots.contains(name) && roots.at(name) != inode)
        add("namespace", "",
            fmt::format("has a {} namespace of its own inside the container", word),
            "Run nothing that makes containers inside this one");
      const bool must_be_own = name == "pid" || name == "mnt" || name == "net" || name == "ipc";
      if (is_root && must_be_own && tree_.host.contains(name) && tree_.host.at(name) == inode)
        add("not_contained", "", fmt::format("shares the host's {} namespace", word),
            "Run it in a container: icon run");
    }
    for (const auto& [thread, thing] : process_->loners)
      add("thread", fmt::format("thread {}", thread),
          fmt::format("has {} of its own, which CRIU would lose", thing),
          "Give that work to a process of its own");
  }

  void judge_descriptor(const Descriptor& descriptor) {
    const std::string where = fmt::format("descriptor {}", descriptor.number);
    const std::string_view target = descriptor.target;
    if (target.starts_with('/')) {
      judge_file(where, descriptor.target, descriptor.file);
      judge_device(where, descriptor);
      if (descriptor.info.has_write_lease)
        add("lease", where,
            "a write lease on " + descriptor.target +
                ": CRIU would break it and stand still for fs.lease-break-time (45 s)",
            "Give the lease back before the move");
    } else if (target.starts_with("socket:")) {
      judge_socket(where, descriptor);
    } else if (target.starts_with("anon_inode:")) {
      judge_anonymous(where, descriptor, target.substr(target.find(':') + 1));
    } else if (target.starts_with("pipe:")) {
      const auto holder = tree_.outsiders.find(descriptor.target);
      if (holder != tree_.outsiders.end())
        add("pipe_outside", where,
            fmt::format("a pipe whose other end is outside: process {} ({}) holds it",
                        holder->second.pid, holder->second.name),
            "Let the service write its output to files, as icon run arranges it");
    } else if (target.starts_with("pidfd:")) {
      judge_pidfd(where, descriptor);
    } else if (target.find(":[") != std::string_view::npos) {
      if (!namespaces_.contains(inode_in(target)))
        add("namespace_outside", where,
            "a namespace of outside the container, " + descriptor.target, kOutsideFix);
    } else {
      add("unknown", where, "something that CRIU does not know: " + descriptor.target, kOutsideFix);
    }
  }

  void judge_file(const std::string& where, const std::string& path, const FileFacts& file) {
    if (file.is_queue) {
      add("message_queue", where, "a POSIX message queue, " + path,
          "Use a socket, or System V message queues");
    } else if (path.starts_with("/secretmem") && file.mount &&
               !tree_.mount_ids.contains(*file.mount)) {
      add("secret_memory", where, "memory that nobody else may read (memfd_secret)",
          "Keep the secret in ordinary memory");
    } else if (file.mount && !tree_.mount_ids.contains(*file.mount)) {
      add("outside_mount", where,
          fmt::format("{} is on a file system that the container does not see (opened outside, or "
                      "unmounted since)",
                      path),
          kOutsideFix);
    } else if (!S_ISDIR(file.mode) && file.links == 0 && file.bytes > kNamelessBytesMax) {
      add("deleted_large", where,
          fmt::format("{}, which has no name any more, holds {} bytes: it would travel in the gap, "
                      "and the limit is {}",
                      path, file.bytes, kNamelessBytesMax),
          "Close it (reopen a log, restart after an upgrade), or keep its name until it is closed");
    } else if (!file.named && file.links > 0 && !S_ISDIR(file.mode)) {
      add("deleted_link", where,
          path + ": that name is gone, but the file lives on under another one",
          "Open it by its present name");
    }
  }

  void judge_device(const std::string& where, const Descriptor& descriptor) {
    const FileFacts& file = descriptor.file;
    const bool is_block = S_ISBLK(file.mode);
    if (!is_block && !S_ISCHR(file.mode)) return;
    const auto device =
        fmt::format("{}, {} device {}:{}", descriptor.target, is_block ? "block" : "character",
                    file.node.major, file.node.minor);
    if (is_block || !is_carried_device(file.node))
      add("device", where, device, "Close it; a device cannot move with a service");
  }

  void judge_socket(const std::string& where, const Descriptor& descriptor) {
    const std::string& kind = descriptor.socket_kind;
    if (const Known* known = find_known(kSockets, kind)) {
      add(known->kind, where, known->what, known->fix);
    } else if (!kind.empty() && !holds(kSocketsCarried, kind)) {
      add("socket", where, "a socket of a kind that CRIU does not know: " + kind, "Use TCP or UDP");
    } else if (kind.starts_with("UNIX") && process_->pid != provisions_.quiescing) {
      judge_unix(where, inode_in(descriptor.target));
    }
  }

  // A connection whose other end is outside, or waits to be accepted there.
  bool leads_outside(const UnixSocket& socket) const {
    if (socket.peer != 0) return !sockets_.contains(socket.peer);
    const bool is_half_closed = socket.is_shut || socket.is_datagram || !socket.is_connected;
    return !is_half_closed && !sockets_.contains(socket.asked);
  }

  void judge_unix(const std::string& where, std::uint64_t inode) {
    const auto socket = tree_.unix_sockets.find(inode);
    if (socket == tree_.unix_sockets.end()) {
      add("unix_outside", where, "an AF_UNIX socket that was made outside the container",
          kOutsideFix);
    } else if (leads_outside(socket->second)) {
      const auto holder = tree_.outsiders.find(fmt::format("socket:[{}]", socket->second.peer));
      const bool is_known = holder != tree_.outsiders.end();
      add("unix_outside", where,
          "an AF_UNIX connection to outside the container" +
              (is_known
                   ? fmt::format(", to process {} ({})", holder->second.pid, holder->second.name)
                   : ""),
          "Close it before the move, or reach that service over TCP");
    }
  }

  void judge_pidfd(const std::string& where, const Descriptor& descriptor) {
    const auto process = descriptor.info.process;
    if (process && *process > 0 && !pids_.contains(*process))
      add("pidfd_outside", where,
          fmt::format("a pidfd of process {}, which is outside the container", *process),
          kOutsideFix);
  }

  void judge_anonymous(const std::string& where, const Descriptor& descriptor,
                       std::string_view name) {
    if (name == "[pidfd]") return judge_pidfd(where, descriptor);
    if (const Known* known = find_known(kAnonymous, name))
      return add(known->kind, where, known->what, known->fix);
    constexpr int kHash = 1, kArray = 2;  // enum bpf_map_type
    const int map = descriptor.info.bpf_map_type.value_or(kHash);
    if (name == "bpf-map" && map != kHash && map != kArray)
      return add("bpf", where, "a BPF map that is neither a hash table nor an array",
                 "Make it from outside the container");
    if (!holds(kCarried, name))
      return add("anonymous", where, "a descriptor that CRIU does not know: " + std::string(name),
                 "Close it before the move");
    if (const auto& watch = descriptor.lost_watch)
      add("watch", where,
          fmt::format("watches a file (inode {} on device {}:{}) that CRIU cannot find again: its "
                      "file system gives no lasting handles",
                      watch->inode, watch->device.major, watch->device.minor),
          "Let the service poll instead of watching, or watch a directory on a tmpfs, in /etc or "
          "in /var/log");
  }

  void judge_mapped(const MappedFile& mapped) {
    const std::string& path = mapped.path;
    if (path.starts_with("anon_inode:")) {
      const auto name = std::string_view(path).substr(path.find(':') + 1);
      const Known* known = find_known(kAnonymous, name);
      add(known != nullptr ? known->kind : "anonymous", "memory",
          known != nullptr ? known->what : "a mapping that CRIU does not know: " + path,
          known != nullptr ? known->fix : "Unmap it before the move");
    } else if (path == "[uprobes]") {
      add("uprobes", "memory", "a tracer has set probes in it", "Remove the probes");
    } else if (path.starts_with("/[aio]") || path.starts_with("/anon_hugepage")) {
      return;
    } else if (S_ISBLK(mapped.file.mode) ||
               (S_ISCHR(mapped.file.mode) && mapped.file.node != DeviceNumber{1, 5})) {
      add("device", "memory", "the device " + path + " is mapped",
          "Unmap it; a device cannot move with a service");
    } else if (path.starts_with('/')) {
      judge_file("memory or directory", path, mapped.file);
    }
  }

  bool is_external(const Mount& mount) const {
    if (provisions_.external_mounts.contains(mount.point)) return true;
    // Another name for something that is below an external mount.
    return std::any_of(tree_.mounts.begin(), tree_.mounts.end(), [&](const Mount& other) {
      return provisions_.external_mounts.contains(other.point) && other.device == mount.device &&
             mount.root.starts_with(other.root);
    });
  }

  // What is bound must be part of something that is mounted whole, or of the container's root.
  bool is_inner_bind(const Mount& mount) const {
    return std::any_of(tree_.mounts.begin(), tree_.mounts.end(), [&](const Mount& other) {
      if (&other == &mount || other.device != mount.device) return false;
      return other.point == "/" ? mount.root.starts_with(other.root) : other.root == "/";
    });
  }

  void judge_mount(const Mount& mount) {
    if (mount.point == "/" || is_external(mount)) return;
    if (mount.type.starts_with("fuse.") || mount.type == "fuse" || mount.type == "fuseblk")
      return add("fuse_mount", mount.point,
                 "a FUSE file system is mounted there (" + mount.type + ")", "Unmount it");
    const bool is_whole = mount.root == "/";
    if (is_whole ? holds(kFileSystems, mount.type) : is_inner_bind(mount)) return;
    if (is_whole && is_inner_bind(mount)) return;
    add("volume", mount.point,
        fmt::format("something of outside the container is mounted there ({})", mount.type),
        "Copy its contents into the image or the writable layer; volumes do not move");
  }

  const ProcessTree& tree_;
  const Provisions& provisions_;
  const Process* process_ = nullptr;
  std::set<int> pids_;
  std::set<std::uint64_t> sockets_;
  std::set<std::uint64_t> namespaces_;
  std::vector<Obstacle> obstacles_;
};

}  // namespace

std::string Obstacle::to_string() const {
  return fmt::format("{} (pid {}){}{}: {}", process, inner_pid, where.empty() ? "" : ", ", where,
                     what);
}

json::Object Obstacle::to_json() const {
  return {{"kind", kind},       {"pid", pid},      {"inner_pid", inner_pid},
          {"process", process}, {"where", where},  {"what", what},
          {"fix", fix},         {"blocks", blocks}};
}

std::vector<Obstacle> find_obstacles(const ProcessTree& tree, const Provisions& provisions) {
  return Judge(tree, provisions).run();
}

}  // namespace icon::migration
