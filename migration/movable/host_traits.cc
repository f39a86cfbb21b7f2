#include "migration/movable/host_traits.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/file.h"

namespace icon::migration {
namespace {

constexpr std::size_t kTextMax = 64;
constexpr std::size_t kReasonMax = 400;
constexpr std::size_t kInstructionsTold = 8;
constexpr std::size_t kSocketTableBytes = 64 << 10;  // more than one line is enough

// {major, minor}; nothing when it is no version.
std::optional<std::pair<int, int>> version_of(const std::string& text) {
  int major = 0;
  int minor = 0;
  if (std::sscanf(text.c_str(), "%d.%d", &major, &minor) != 2) return std::nullopt;
  return std::pair{major, minor};
}

Obstacle obstacle(std::string kind, std::string what, std::string fix, bool blocks = true) {
  Obstacle found;
  found.kind = std::move(kind);
  found.what = std::move(what);
  found.fix = std::move(fix);
  found.blocks = blocks;
  return found;
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kInstructionsTold); ++i)
    text += (text.empty() ? "" : ", ") + names[i];
  if (names.size() > kInstructionsTold)
    text += fmt::format(" and {} more", names.size() - kInstructionsTold);
  return text;
}

void compare_cpu(const CpuFeatures& here, const CpuFeatures& there, std::vector<Obstacle>& found) {
  if (const auto missing = missing_instructions(here, there); !missing.empty())
    found.push_back(
        obstacle("cpu_instructions",
                 "its processor lacks " + listed(missing) +
                     ", which programs that were started here may be using",
                 "Move to a host with such a processor, or start the service on one without"));
  if (!state_fits(here, there))
    found.push_back(obstacle(
        "cpu_state",
        fmt::format("its processor keeps {} (at most {}) bytes of state where this one keeps {} "
                    "({}): saved registers do not fit",
                    there.state_bytes, there.state_bytes_max, here.state_bytes,
                    here.state_bytes_max),
        "Move to a host with a processor of the same generation, or give both virtual machines the "
        "same processor model"));
}

void compare_criu(const HostTraits& here, const HostTraits& there, std::vector<Obstacle>& found) {
  if (!there.criu) return;
  const auto ours = version_of(here.criu.value_or(""));
  const auto theirs = version_of(*there.criu);
  if (there.criu->empty())
    found.push_back(
        obstacle("criu", "it has no CRIU that runs", "`make deps` builds one on that host"));
  else if (ours && theirs && *theirs < *ours)
    found.push_back(obstacle("criu_version",
                             fmt::format("its CRIU {} is older than {} here and may not read what "
                                         "this one writes",
                                         *there.criu, *here.criu),
                             "`make deps` builds the version that is known to work",
                             theirs->first < ours->first));
}

}  // namespace

json::Object HostTraits::to_json() const {
  json::Object object{{"architecture", architecture}, {"kernel", kernel}, {"cgroups", cgroups}};
  if (criu) object["criu"] = *criu;
  if (time_namespaces) object["time_namespaces"] = *time_namespaces;
  if (ipv6) object["ipv6"] = *ipv6;
  if (memory_together) object["memory_together"] = memory_together->substr(0, kReasonMax);
  if (cpu) object["cpu"] = cpu->to_json();
  return object;
}

Result<HostTraits> HostTraits::from_json(const json::Object& object) {
  HostTraits traits;
  ICON_TRY(traits.architecture, json::get_string(object, "architecture", kTextMax));
  ICON_TRY(traits.kernel, json::get_string_or(object, "kernel", "", kTextMax));
  if (object.contains("criu")) {
    ICON_TRY(traits.criu, json::get_string(object, "criu", kTextMax));
  }
  ICON_TRY(traits.cgroups, json::get_string_or(object, "cgroups", "", kTextMax));
  if (object.contains("time_namespaces")) {
    ICON_TRY(traits.time_namespaces, json::get_bool(object, "time_namespaces"));
  }
  if (object.contains("ipv6")) {
    ICON_TRY(traits.ipv6, json::get_bool(object, "ipv6"));
  }
  if (object.contains("memory_together")) {
    ICON_TRY(traits.memory_together, json::get_string(object, "memory_together", kReasonMax));
  }
  if (object.contains("cpu")) {
    ICON_TRY(const auto* cpu, json::get_object(object, "cpu"));
    ICON_TRY(traits.cpu, CpuFeatures::from_json(*cpu));
  }
  return traits;
}

json::Object TraitNeeds::to_json() const {
  return {{"ipv6_sockets", ipv6_sockets}, {"starts_afresh", starts_afresh}};
}

TraitNeeds TraitNeeds::from_json(const json::Object& object) {
  return {json::get_bool(object, "ipv6_sockets").value_or(false),
          json::get_bool(object, "starts_afresh").value_or(false)};
}

std::vector<Obstacle> find_host_obstacles(const HostTraits& here, const HostTraits& there,
                                          const TraitNeeds& needs) {
  std::vector<Obstacle> found;
  if (here.architecture != there.architecture) {
    found.push_back(
        obstacle("architecture",
                 "its processor is " + there.architecture + ", this one is " + here.architecture,
                 "Move to a host with " + here.architecture + " processors"));
    return found;
  }
  if (needs.starts_afresh) return found;
  compare_criu(here, there, found);
  if (here.cpu && there.cpu) compare_cpu(*here.cpu, *there.cpu, found);
  if (here.time_namespaces.value_or(false) && !there.time_namespaces.value_or(true))
    found.push_back(
        obstacle("time_namespace",
                 "its kernel (" + there.kernel +
                     ") has no time namespaces: the service's monotonic clock would jump",
                 "Use Linux 5.6 or newer with CONFIG_TIME_NS there"));
  if (needs.ipv6_sockets && !there.ipv6.value_or(true))
    found.push_back(obstacle("ipv6", "its kernel has no IPv6, and the service has sockets of it",
                             "Start that host without ipv6.disable, or let the service listen on "
                             "IPv4 alone"));
  if (here.memory_together == "" && there.memory_together.value_or("") != "")
    found.push_back(obstacle(
        "memory",
        "the memory has to travel while the service stands still: " + *there.memory_together,
        "Linux 6.14 or newer, and `make deps` there", false));
  return found;
}

std::string blocking_words(const std::vector<Obstacle>& obstacles) {
  std::string words;
  for (const auto& found : obstacles)
    if (found.blocks)
      words +=
          (words.empty() ? "" : "; ") + found.kind + ": " + found.what + " (" + found.fix + ")";
  return words;
}

HostTraits read_kernel_traits() {
  HostTraits traits;
  utsname names{};
  if (uname(&names) == 0) {
    traits.architecture = names.machine;
    if (const auto version = version_of(names.release))
      traits.kernel = fmt::format("{}.{}", version->first, version->second);
  }
  traits.time_namespaces = access("/proc/self/ns/time", F_OK) == 0;
  traits.ipv6 = access("/proc/sys/net/ipv6", F_OK) == 0;
  const auto controllers = read_file("/proc/self/cgroup", kSocketTableBytes).value_or("");
  const bool v2 = controllers.starts_with("0::") || controllers.find("\n0::") != std::string::npos;
  const bool v1 = controllers.find(":/") != std::string::npos && !controllers.starts_with("0::");
  traits.cgroups = v1 && v2 ? "hybrid" : v2 ? "v2" : v1 ? "v1" : "";
  return traits;
}

std::string criu_version_in(const std::string& output) {
  constexpr std::string_view kLabel = "Version:";
  const auto label = output.find(kLabel);
  if (label == std::string::npos) return "";
  const auto begin = output.find_first_of("0123456789", label + kLabel.size());
  if (begin == std::string::npos) return "";
  const auto end = output.find_first_not_of("0123456789.", begin);
  return output.substr(begin, std::min(end, output.size()) - begin).substr(0, kTextMax);
}

bool has_ipv6_sockets(int pid) {
  for (const char* table : {"tcp6", "udp6", "udplite6", "raw6"}) {
    const auto text = read_file(fmt::format("/proc/{}/net/{}", pid, table), kSocketTableBytes);
    // Beyond its limit there are sockets, too; the first line is the head.
    if (!text && text.error().code == Code::kLimit) return true;
    if (text && std::count(text->begin(), text->end(), '\n') > 1) return true;
  }
  return false;
}

}  // namespace icon::migration
