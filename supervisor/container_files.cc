// Containers, first half: directories, mounts and files.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "base/encoding.h"
#include "base/file.h"
#include "supervisor/container.h"
#include "supervisor/oci_config.h"
#include "supervisor/safe_path.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kGenerationBytes = 32;
constexpr const char* kReseedLibrary = "libicon-reseed.so";
constexpr std::size_t kMountinfoBytesMax = 16 << 20;
constexpr std::size_t kMountOptionsMax = 4095;  // a page
constexpr std::size_t kResolvConfBytesMax = 64 << 10;
constexpr std::int64_t kAgentBytesMax = 256LL << 20;

bool is_directory(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool is_mountpoint(const std::string& path) {
  const auto text = read_file("/proc/self/mountinfo", kMountinfoBytesMax);
  return text && text->find(" " + path + " ") != std::string::npos;
}

// Without resolvers of its own in the configuration the container gets the host's, except those on
// the loopback, which it cannot reach.
std::string resolv_conf(const Config& config) {
  std::string text;
  for (const auto& resolver : config.resolvers) text += "nameserver " + resolver.to_string() + "\n";
  if (!config.resolvers.empty()) return text;
  const auto host = read_file("/etc/resolv.conf", kResolvConfBytesMax);
  if (!host) return text;
  std::istringstream lines(*host);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("nameserver 127.") || line.starts_with("nameserver ::1")) continue;
    if (line.starts_with("nameserver ") || line.starts_with("search ")) text += line + "\n";
  }
  return text;
}

std::string hosts(const std::string& hostname, const Address& overlay) {
  return "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n" + overlay.to_string() + "\t" +
         hostname + "\n";
}

// Characters that the overlay mount's option text gives a meaning.
bool fits_mount_option(const std::string& path) {
  return path.find_first_of(",:\\\"\n") == std::string::npos;
}

Status copy_file(const std::string& from, const std::string& to_directory,
                 const std::string& to_name, unsigned mode) {
  const UniqueFd source(open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!source) return fail_errno("open " + from);
  struct stat info {};
  if (fstat(source.get(), &info) != 0) return fail_errno("stat " + from);
  if (!S_ISREG(info.st_mode) || info.st_size > kAgentBytesMax)
    return fail(Code::kInvalid, from + " is no program");
  ICON_TRY(const auto target,
           open_in_root(to_directory, to_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  for (off_t done = 0; done < info.st_size;) {
    const ssize_t count =
        sendfile(target.get(), source.get(), &done, static_cast<std::size_t>(info.st_size - done));
    if (count <= 0) return fail_errno("copy " + from);
  }
  if (fchmod(target.get(), mode) != 0) return fail_errno("chmod " + to_name);
  return {};
}

}  // namespace

ContainerPaths Containers::paths(const std::string& icon_id) const {
  ContainerPaths paths;
  paths.directory = config_.state_dir + "/icons/" + icon_id;
  paths.spec_json = paths.directory + "/spec.json";
  paths.bundle = paths.directory + "/bundle";
  paths.rootfs = paths.bundle + "/rootfs";
  paths.upper = paths.directory + "/upper";
  paths.work = paths.directory + "/work";
  paths.run = paths.directory + "/run";
  paths.socket = paths.run + "/supervisor.sock";
  paths.key = paths.run + "/icon.key";
  paths.policy = paths.run + "/policy.yaml";
  paths.agent_binary = paths.run + "/bin/icon-agent";
  return paths;
}

std::string Containers::image_rootfs(const std::string& digest) const {
  return config_.state_dir + "/images/" + digest + "/rootfs";
}

std::string Containers::image_mount(const std::string& icon_id) const {
  return config_.state_dir + "/layers/" + icon_id;
}

std::vector<ExternalMount> Containers::external_mounts(const std::string& icon_id) const {
  return {{kRunMountpoint, "iconrun", paths(icon_id).run}};
}

Status Containers::make_directories(const std::string& icon_id, const ContainerSpec& spec) {
  const auto place = paths(icon_id);
  if (left_over_.contains(icon_id))
    return fail(Code::kConflict, "what this ICON left here is still being cleared away");
  ICON_CHECK(icon::make_directories(config_.state_dir + "/icons", 0700));
  if (mkdir(place.directory.c_str(), 0700) != 0) {
    if (errno == EEXIST)
      return fail(Code::kConflict, place.directory + " exists: this host has that ICON already");
    return fail_errno("mkdir " + place.directory);
  }
  for (const auto& path : {place.bundle, place.rootfs, place.upper, place.work, place.run})
    ICON_CHECK(icon::make_directories(path, 0755));
  return write_file_atomic(place.spec_json, boost::json::serialize(spec.to_json()), 0600);
}

bool Containers::root_mounted(const std::string& icon_id) const {
  return is_mountpoint(paths(icon_id).rootfs);
}

Status Containers::mount_root(const std::string& icon_id, const std::vector<std::string>& layers) {
  const auto place = paths(icon_id);
  std::string lower;
  for (const auto& layer : layers) {
    if (!is_directory(layer))
      return fail(Code::kNotFound, "the root directory " + layer + " does not exist");
    if (!fits_mount_option(layer) || !fits_mount_option(place.directory))
      return fail(Code::kInvalid, layer + ": a root's path must not hold ',', ':', '\"' or '\\'");
    lower += (lower.empty() ? "" : ":") + layer;
  }
  const std::string options =
      "lowerdir=" + lower + ",upperdir=" + place.upper + ",workdir=" + place.work;
  if (options.size() > kMountOptionsMax)
    return fail(Code::kLimit, "the image has too many layers (" + std::to_string(layers.size()) +
                                  ") to be mounted");
  // nodev: a writable layer that came from a stranger's host may hold device files.
  if (mount("overlay", place.rootfs.c_str(), "overlay", MS_NODEV, options.c_str()) != 0)
    return fail_errno("mount overlay on " + place.rootfs + " (lower " + lower + ")");
  // The container's own mounts must not come back to the host, nor CRIU's.
  if (mount(nullptr, place.rootfs.c_str(), nullptr, MS_PRIVATE, nullptr) != 0)
    return fail_errno("make " + place.rootfs + " private");
  return {};
}

Status Containers::unmount_root(const std::string& icon_id) {
  const std::string root = paths(icon_id).rootfs;
  // Twice: a container's runtime may have bound it on itself.
  for (int i = 0; i < 2 && is_mountpoint(root); ++i)
    if (umount2(root.c_str(), UMOUNT_NOFOLLOW) != 0 && umount2(root.c_str(), MNT_DETACH) != 0)
      return fail_errno("unmount " + root);
  if (is_mountpoint(root)) return fail(Code::kConflict, root + " is still mounted");
  return {};
}

Status Containers::write_files(const std::string& icon_id, const ContainerSpec& spec,
                               const Address& overlay) {
  const auto place = paths(icon_id);
  const std::string hostname = spec.hostname.empty() ? spec.name : spec.hostname;
  for (const char* mountpoint : {"/proc", "/dev", "/sys", "/run/icon", "/etc"})
    ICON_CHECK(make_directories_in_root(place.rootfs, mountpoint, 0755));
  if (const std::string resolvers = resolv_conf(config_); !resolvers.empty())
    ICON_CHECK(write_file_in_root(place.rootfs, "/etc/resolv.conf", resolvers, 0644));
  ICON_CHECK(write_file_in_root(place.rootfs, "/etc/hosts", hosts(hostname, overlay), 0644));
  ICON_CHECK(write_file_in_root(place.rootfs, "/etc/hostname", hostname + "\n", 0644));
  for (const char* folder : {"/bin", "/log", "/state"})
    ICON_CHECK(make_directories_in_root(place.run, folder, 0755));
  ICON_CHECK(write_file_in_root(place.run, "/policy.yaml", spec.policy_yaml, 0644));
  return hand_over(icon_id, spec);
}

// The agent runs as the spec's user and must be able to write its logs and state.
Status Containers::hand_over(const std::string& icon_id, const ContainerSpec& spec) {
  const auto place = paths(icon_id);
  for (const std::string name :
       {"/", "/log", "/state", "/policy.yaml", "/icon.key", "/state/dns.key"}) {
    const auto file = open_in_root(place.run, name, O_PATH | O_NOFOLLOW);
    if (!file && file.error().code == Code::kNotFound) continue;
    if (!file) return fail(file.error());
    if (fchownat(file->get(), "", spec.uid, spec.gid, AT_EMPTY_PATH) != 0)
      return fail_errno("chown " + place.run + name);
  }
  return {};
}

Status Containers::write_key(const std::string& icon_id, const ContainerSpec& spec,
                             const KeyPair& key) {
  ICON_CHECK(
      write_file_in_root(paths(icon_id).run, "/icon.key", hex_encode(key.seed()) + "\n", 0600));
  return hand_over(icon_id, spec);
}

Status Containers::write_dns_key(const std::string& icon_id, const ContainerSpec& spec,
                                 std::string_view key) {
  ICON_CHECK(write_file_in_root(paths(icon_id).run, "/state/dns.key", key, 0600));
  return hand_over(icon_id, spec);
}

void Containers::remove_keys(const std::string& icon_id) {
  for (const auto& [folder, name] : {std::pair{"/", "icon.key"}, std::pair{"/state", "dns.key"}}) {
    const auto directory = open_in_root(paths(icon_id).run, folder, O_PATH | O_DIRECTORY);
    if (directory) unlinkat(directory->get(), name, 0);
  }
}

Status Containers::write_identity(const std::string& icon_id, const ContainerSpec& spec,
                                  const KeyPair& key, std::string_view birth) {
  const std::string run = paths(icon_id).run;
  ICON_CHECK(write_key(icon_id, spec, key));
  ICON_CHECK(write_file_in_root(run, "/birth.json", birth, 0644));
  return write_generation(icon_id);
}

Status Containers::write_generation(const std::string& icon_id) {
  return write_file_in_root(paths(icon_id).run, "/generation",
                            random_token(kGenerationBytes) + "\n", 0644);
}

Status Containers::install_agent(const std::string& icon_id) {
  const auto place = paths(icon_id);
  ICON_CHECK(make_directories_in_root(place.run, "/bin", 0755));
  auto status = copy_file(config_.agent_binary, place.run, "/bin/icon-agent", 0755);
  if (!status)
    return fail(status.error().code,
                "the agent's program: " + status.error().message + "; see agent_binary");
  // For services that preload it; an installation may do without.
  const std::string library =
      std::filesystem::path(config_.agent_binary).parent_path().string() + "/" + kReseedLibrary;
  if (access(library.c_str(), R_OK) != 0) return {};
  return copy_file(library, place.run, std::string("/bin/") + kReseedLibrary, 0755);
}

Status Containers::write_bundle(const std::string& icon_id, const ContainerSpec& spec,
                                const std::string& netns_path) {
  const auto place = paths(icon_id);
  ICON_TRY(const auto group, cgroup(icon_id));
  const auto config = oci_config(spec, {place.rootfs, place.run, netns_path, group.path()});
  return write_file_atomic(place.bundle + "/config.json", boost::json::serialize(config), 0600);
}

Status Containers::check_command(const std::string& icon_id, const ContainerSpec& spec) {
  const std::string root = paths(icon_id).rootfs;
  const std::string& program = spec.command.front();
  if (program.find('/') != std::string::npos) {
    const std::string path = program.front() == '/' ? program : spec.cwd + "/" + program;
    if (is_executable_in_root(root, path)) return {};
    return fail(Code::kInvalid, "command " + program + " is no program in the root directory");
  }
  std::string search = kDefaultPath;
  for (const auto& variable : spec.env)
    if (variable.starts_with("PATH=")) search = variable;
  search.erase(0, 5);
  std::istringstream folders(search);
  for (std::string folder; std::getline(folders, folder, ':');)
    if (!folder.empty() && is_executable_in_root(root, folder + "/" + program)) return {};
  return fail(Code::kInvalid,
              "command " + program + " is in no directory of the root's PATH (" + search + ")");
}

Status Containers::prepare(const std::string& icon_id, const ContainerSpec& spec,
                           const KeyPair& key, const std::vector<std::string>& layers,
                           const std::string& netns_path, const Address& overlay,
                           const std::string& upper) {
  ICON_CHECK(make_directories(icon_id, spec));
  if (!upper.empty() && rename(upper.c_str(), paths(icon_id).upper.c_str()) != 0)
    return fail_errno("make " + upper + " the writable layer");
  ICON_CHECK(mount_root(icon_id, layers));
  ICON_CHECK(check_command(icon_id, spec));
  ICON_CHECK(write_files(icon_id, spec, overlay));
  ICON_CHECK(write_key(icon_id, spec, key));
  ICON_CHECK(write_generation(icon_id));
  ICON_CHECK(install_agent(icon_id));
  return write_bundle(icon_id, spec, netns_path);
}

}  // namespace icon::supervisor
