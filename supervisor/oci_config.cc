#include "supervisor/oci_config.h"

#include <algorithm>
#include <initializer_list>

namespace icon::supervisor {
namespace {

constexpr std::int64_t kCpuPeriodUs = 100'000;
constexpr std::int64_t kProcessesMax = 4096;

json::Array texts(std::initializer_list<const char*> items) {
  json::Array array;
  for (const char* item : items) array.emplace_back(item);
  return array;
}

// Docker's default set without what makes devices, raw packets, audit records or file capabilities:
// the agent discovers without NET_RAW.
json::Array capabilities() {
  return texts({"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
                "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_CHROOT"});
}

json::Object process_of(const ContainerSpec& spec) {
  json::Array args{kAgentPath, "--"};
  for (const auto& argument : spec.command) args.emplace_back(argument);
  json::Array env;
  for (const auto& variable : spec.env) env.emplace_back(variable);
  if (std::none_of(spec.env.begin(), spec.env.end(),
                   [](const std::string& variable) { return variable.starts_with("PATH="); }))
    env.emplace_back(kDefaultPath);
  json::Object user{{"uid", std::int64_t{spec.uid}}, {"gid", std::int64_t{spec.gid}}};
  if (!spec.additional_gids.empty()) {
    json::Array gids;
    for (const auto gid : spec.additional_gids) gids.emplace_back(std::int64_t{gid});
    user["additionalGids"] = std::move(gids);
  }
  return {{"terminal", false},
          {"user", std::move(user)},
          {"args", std::move(args)},
          {"env", std::move(env)},
          {"cwd", spec.cwd},
          {"capabilities", json::Object{{"bounding", capabilities()},
                                        {"effective", capabilities()},
                                        {"permitted", capabilities()}}},
          {"noNewPrivileges", true}};
}

json::Object mount_of(const char* destination, const char* type, const std::string& source,
                      std::initializer_list<const char*> options) {
  return {{"destination", destination},
          {"type", type},
          {"source", source},
          {"options", texts(options)}};
}

json::Array mounts_of(const OciParts& parts) {
  return {mount_of("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
          mount_of("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
          mount_of("/dev/pts", "devpts", "devpts",
                   {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}),
          mount_of("/dev/shm", "tmpfs", "shm",
                   {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
          mount_of("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
          mount_of(kRunMountpoint, "bind", parts.run_dir, {"bind", "rw", "nosuid", "nodev"})};
}

json::Object limits_of(const wire::Resources& resources) {
  json::Object limits{{"pids", json::Object{{"limit", kProcessesMax}}}};
  if (resources.cpu_millis > 0)
    limits["cpu"] = json::Object{{"period", kCpuPeriodUs},
                                 {"quota", resources.cpu_millis * kCpuPeriodUs / 1000}};
  if (resources.memory_bytes > 0)
    limits["memory"] = json::Object{{"limit", resources.memory_bytes}};
  return limits;
}

}  // namespace

json::Object oci_config(const ContainerSpec& spec, const OciParts& parts) {
  json::Array namespaces;
  for (const char* kind : {"pid", "ipc", "uts", "mount"})
    namespaces.emplace_back(json::Object{{"type", kind}});
  namespaces.emplace_back(json::Object{{"type", "network"}, {"path", parts.netns_path}});
  json::Object linux_part{
      {"cgroupsPath", parts.cgroup_path},
      {"namespaces", std::move(namespaces)},
      {"resources", limits_of(spec.resources)},
      {"maskedPaths",
       texts({"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
              "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"})},
      {"readonlyPaths",
       texts({"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"})}};
  return {{"ociVersion", "1.0.2"},
          {"process", process_of(spec)},
          {"root", json::Object{{"path", parts.root_path}, {"readonly", spec.read_only_rootfs}}},
          {"hostname", spec.hostname.empty() ? spec.name : spec.hostname},
          {"mounts", mounts_of(parts)},
          {"linux", std::move(linux_part)}};
}

}  // namespace icon::supervisor
