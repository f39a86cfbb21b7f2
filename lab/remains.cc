#include "lab/remains.h"

#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>
#include <sstream>

#include "base/fd.h"
#include "base/file.h"
#include "base/keys.h"
#include "base/subprocess.h"
#include "lab/mounts.h"
#include "lab/process.h"

namespace icon::lab {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "icon-";
constexpr std::size_t kCgroupFileBytesMax = 1 << 20;

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

std::string joined(std::string directory, std::string_view name) {
  directory += '/';
  directory += name;
  return directory;
}

bool is_directory(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

std::string lab_directory(const std::string& lab) {
  return std::string(kLabsDirectory) + "/" + lab;
}

// Short ids of the supervisors that a lab's keys stand for: they are in the names of the namespaces
// and cgroups that these supervisors make. A supervisor may have been told to make a key of its own
// in its directory, so every key there counts.
std::set<std::string> short_ids_of(const std::string& lab) {
  constexpr int kDepthMax = 2;  // hosts/<node>/<state directory>/
  std::set<std::string> ids;
  std::error_code error;
  fs::recursive_directory_iterator entry(joined(lab_directory(lab), "hosts"), error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (entry.depth() >= kDepthMax) entry.disable_recursion_pending();
    if (entry->path().extension() != ".key") continue;
    const auto key = KeyPair::load(entry->path(), /*create=*/false);
    if (key) ids.insert(short_id(key->id()));
  }
  return ids;
}

// "icon" directories at the top of each cgroup hierarchy, v1 and v2.
std::vector<std::string> cgroup_tops() {
  std::vector<std::string> tops;
  const std::string root = "/sys/fs/cgroup";
  if (is_directory(root + "/icon")) tops.push_back(root + "/icon");
  for (const auto& hierarchy : names_in(root)) {
    std::string top = joined(joined(root, hierarchy), "icon");
    if (hierarchy != "icon" && is_directory(top)) tops.push_back(std::move(top));
  }
  return tops;
}

void add_cgroup_tree(const std::string& directory, std::vector<std::string>& into) {
  for (const auto& name : names_in(directory))
    if (const auto child = joined(directory, name); is_directory(child))
      add_cgroup_tree(child, into);
  into.push_back(directory);
}

std::set<int> members_of(const std::vector<std::string>& cgroups) {
  std::set<int> pids;
  for (const auto& cgroup : cgroups) {
    const auto text = read_file(cgroup + "/cgroup.procs", kCgroupFileBytesMax);
    if (!text) continue;
    std::istringstream numbers(*text);
    for (int pid = 0; numbers >> pid;) pids.insert(pid);
  }
  return pids;
}

std::set<NamespaceId> ids_of(const std::vector<std::string>& namespaces) {
  std::set<NamespaceId> ids;
  const auto home = network_namespace_at("/proc/self/ns/net");
  for (const auto& name : namespaces) {
    const auto id = network_namespace_at("/run/netns/" + name);
    // A name without a namespace behind it (a crash between two steps) is a plain file.
    if (id && home && id->device == home->device && *id != *home) ids.insert(*id);
  }
  return ids;
}

class NotOurselves {
 public:
  bool operator()(int pid) const {
    return std::find(pids_.begin(), pids_.end(), pid) == pids_.end();
  }

 private:
  std::vector<int> pids_ = self_and_ancestors();
};

bool serves_lab(int pid, const std::string& executable, const std::string& lab) {
  if (!executable.starts_with("icon-lab-")) return false;
  for (const auto& argument : arguments_of(pid))
    if (argument == lab || argument.starts_with(lab_directory(lab) + "/")) return true;
  return false;
}

Command command_of(std::vector<std::string> argv) {
  Command command;
  command.argv = std::move(argv);
  return command;
}

std::vector<std::string> our_nft_tables() {
  std::vector<std::string> tables;
  const auto outcome = run_command_blocking(command_of({"nft", "list", "tables"}));
  if (!outcome || !outcome->ok()) return tables;
  std::istringstream lines(outcome->output);
  for (std::string word, family, name; lines >> word >> family >> name;)
    if (name.starts_with("icon")) tables.push_back(family.append(" ").append(name));
  return tables;
}

std::vector<std::string> our_links() {
  std::vector<std::string> links;
  struct if_nameindex* const all = if_nameindex();
  if (all == nullptr) return links;
  for (const auto* entry = all; entry->if_name != nullptr; ++entry)
    if (std::string_view(entry->if_name).starts_with("icon")) links.emplace_back(entry->if_name);
  if_freenameindex(all);
  return links;
}

void unite(Remains& into, Remains&& more) {
  const auto append = [](auto& to, auto&& from) {
    for (auto& item : from)
      if (std::find(to.begin(), to.end(), item) == to.end()) to.push_back(std::move(item));
  };
  append(into.namespaces, std::move(more.namespaces));
  append(into.links, std::move(more.links));
  append(into.nft_tables, std::move(more.nft_tables));
  append(into.mounts, std::move(more.mounts));
  append(into.processes, std::move(more.processes));
  append(into.cgroups, std::move(more.cgroups));
  append(into.directories, std::move(more.directories));
}

}  // namespace

std::size_t Remains::count() const {
  return namespaces.size() + links.size() + nft_tables.size() + mounts.size() + processes.size() +
         cgroups.size() + directories.size();
}

std::string Remains::describe() const {
  std::string text;
  const auto add = [&](std::string_view kind, const std::vector<std::string>& names) {
    for (const auto& name : names) text += std::string(kind) + " " + name + "\n";
  };
  for (const auto& process : processes)
    text += "process " + std::to_string(process.pid) + " " + process.executable + "\n";
  add("namespace", namespaces);
  add("link", links);
  add("nft table", nft_tables);
  add("mount", mounts);
  add("cgroup", cgroups);
  add("directory", directories);
  return text;
}

json::Object Remains::to_json() const {
  const auto list = [](const std::vector<std::string>& names) {
    return json::Array(names.begin(), names.end());
  };
  json::Array process_list;
  for (const auto& process : processes)
    process_list.push_back(json::Object{{"pid", process.pid}, {"executable", process.executable}});
  return {{"namespaces", list(namespaces)},  {"links", list(links)},
          {"nft_tables", list(nft_tables)},  {"mounts", list(mounts)},
          {"processes", process_list},       {"cgroups", list(cgroups)},
          {"directories", list(directories)}};
}

std::vector<std::string> labs_present() {
  std::vector<std::string> labs;
  for (auto& name : names_in(std::string(kLabsDirectory)))
    if (is_directory(lab_directory(name))) labs.push_back(std::move(name));
  return labs;
}

Remains scan_lab(const std::string& lab) {
  Remains remains;
  const auto short_ids = short_ids_of(lab);
  const auto is_of_lab = [&](std::string_view name) {
    if (!name.starts_with(kPrefix)) return false;
    name.remove_prefix(kPrefix.size());
    const std::string owner(name.substr(0, name.find('-')));
    return owner.size() < name.size() && (owner == lab || short_ids.contains(owner));
  };
  for (auto& name : names_in("/run/netns"))
    if (is_of_lab(name)) remains.namespaces.push_back(std::move(name));
  for (const auto& top : cgroup_tops())
    for (const auto& id : short_ids)
      if (const auto cgroup = joined(top, id); is_directory(cgroup))
        add_cgroup_tree(cgroup, remains.cgroups);
  const auto namespace_ids = ids_of(remains.namespaces);
  const auto members = members_of(remains.cgroups);
  const std::string in_run = "/icon-lab/" + lab + "/";
  const NotOurselves not_ourselves;
  remains.processes = find_processes([&](int pid) {
    if (!not_ourselves(pid)) return false;
    const auto id = network_namespace_of(pid);
    if ((id && namespace_ids.contains(*id)) || members.contains(pid)) return true;
    const auto identity = identify(pid);
    return (identity && serves_lab(pid, identity->executable, lab)) ||
           root_mount_of(pid).find(in_run) != std::string::npos;
  });
  remains.mounts = mounts_under(lab_directory(lab));
  if (is_directory(lab_directory(lab))) remains.directories.push_back(lab_directory(lab));
  return remains;
}

Remains scan_machine() {
  Remains remains;
  for (auto& name : names_in("/run/netns"))
    if (name.starts_with(kPrefix)) remains.namespaces.push_back(std::move(name));
  for (const auto& top : cgroup_tops()) add_cgroup_tree(top, remains.cgroups);
  const auto namespace_ids = ids_of(remains.namespaces);
  const auto members = members_of(remains.cgroups);
  const NotOurselves not_ourselves;
  remains.processes = find_processes([&](int pid) {
    if (!not_ourselves(pid)) return false;
    const auto id = network_namespace_of(pid);
    if ((id && namespace_ids.contains(*id)) || members.contains(pid)) return true;
    const auto identity = identify(pid);
    return (identity && identity->executable.starts_with(kPrefix)) ||
           root_mount_of(pid).find("/icon-lab/") != std::string::npos;
  });
  remains.mounts = mounts_under(std::string(kLabsDirectory));
  remains.nft_tables = our_nft_tables();
  remains.links = our_links();
  for (const auto& lab : labs_present()) remains.directories.push_back(lab_directory(lab));
  for (const std::string place : {"/tmp", "/dev/shm"})
    for (const auto& name : names_in(place))
      if (auto path = joined(place, name); name.starts_with(kPrefix) && is_directory(path))
        remains.directories.push_back(std::move(path));
  return remains;
}

Remains scan_leftovers() {
  Remains all = scan_machine();
  const auto home = network_namespace_at("/proc/self/ns/net");
  const bool has_service =
      std::any_of(all.processes.begin(), all.processes.end(), [&](const ProcessIdentity& process) {
        return process.executable == "icon-supervisor" && network_namespace_of(process.pid) == home;
      });
  if (!has_service) return all;
  Remains of_labs;
  for (const auto& lab : labs_present()) unite(of_labs, scan_lab(lab));
  return of_labs;
}

namespace {

void thaw(const std::string& cgroup) {
  // A frozen process does not die. One of the two exists: v1 or v2.
  (void)write_kernel_file(cgroup + "/freezer.state", "THAWED");
  (void)write_kernel_file(cgroup + "/cgroup.freeze", "0");
}

Status remove_cgroup(const std::string& directory) {
  constexpr int kAttempts = 100;  // a second: the kernel takes a moment after the last exit
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (rmdir(directory.c_str()) == 0 || errno == ENOENT) return {};
    if (errno != EBUSY) break;
    usleep(10'000);
  }
  return fail_errno("remove cgroup " + directory);
}

Status remove_namespace(const std::string& name) {
  const std::string path = "/run/netns/" + name;
  while (umount2(path.c_str(), MNT_DETACH) == 0) {
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("remove " + path);
  return {};
}

Status remove_tree(const std::string& directory) {
  // What is mounted in there may be somebody's files, not ours.
  if (!mounts_under(directory).empty())
    return fail(Code::kIo, directory + " stays: something is still mounted in it");
  std::error_code error;
  fs::remove_all(directory, error);
  if (error) return fail(Code::kIo, "remove " + directory + ": " + error.message());
  return {};
}

}  // namespace

Status remove_remains(const Remains& remains) {
  constexpr Millis kExitLimit(5'000);
  std::string stayed;
  const auto note = [&](const Status& status) {
    if (!status) stayed += (stayed.empty() ? "" : "; ") + status.error().message;
  };
  for (const auto& cgroup : remains.cgroups) thaw(cgroup);
  note(end_processes(remains.processes, kExitLimit));
  for (const auto& table : remains.nft_tables) {
    const auto space = table.find(' ');
    note(run_checked_blocking(
        command_of({"nft", "delete", "table", table.substr(0, space), table.substr(space + 1)})));
  }
  for (const auto& link : remains.links)
    if (if_nametoindex(link.c_str()) != 0)
      note(run_checked_blocking(command_of({"ip", "link", "delete", link})));
  for (const auto& name : remains.namespaces) note(remove_namespace(name));
  for (const auto& mount : remains.mounts)
    if (umount2(mount.c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT)
      note(fail_errno("unmount " + mount));
  for (const auto& cgroup : remains.cgroups) note(remove_cgroup(cgroup));
  for (const auto& directory : remains.directories) note(remove_tree(directory));
  if (stayed.empty()) return {};
  return fail(Code::kIo, stayed);
}

}  // namespace icon::lab
