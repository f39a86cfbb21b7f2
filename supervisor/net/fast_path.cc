#include "supervisor/net/fast_path.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <ifaddrs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>

#include "base/fd.h"
#include "supervisor/net/bpf/forward_object.h"
#include "supervisor/net/names.h"
#include "supervisor/net/tc_filters.h"

namespace icon::net {
namespace {

constexpr const char* kMapNames[] = {"ports", "overlays", "interfaces", "deliveries", "tunnels"};
constexpr const char* kSettings = "settings";
constexpr const char* kForwarded = "forwarded";
constexpr const char* kFlows = "flows";
constexpr const char* kStubTraffic = "stub_traffic";
constexpr const char* kStubSum = "stub_sum";
constexpr std::size_t kMapsPerProgramMax = 16;
constexpr std::uint32_t kFilterHandle = 1;
constexpr std::uint32_t kFilterPriority = kRulePriority;
constexpr std::uint32_t kTcpIpHeaderBytes = 40;

bpf_tc_hook hook_at(int interface, bpf_tc_attach_point point = BPF_TC_INGRESS) {
  bpf_tc_hook hook{};
  hook.sz = sizeof hook;
  hook.ifindex = interface;
  hook.attach_point = point;
  return hook;
}

bpf_tc_opts filter() {
  bpf_tc_opts opts{};
  opts.sz = sizeof opts;
  opts.handle = kFilterHandle;
  opts.priority = kFilterPriority;
  return opts;
}

// libbpf prints the verifier's whole log otherwise.
int say_nothing(libbpf_print_level, const char*, va_list) { return 0; }

const char* program_of(FastPath::Side side, std::uint32_t link) {
  if (side == FastPath::Side::kOutside) return "from_outside";
  if (side == FastPath::Side::kIcon) return "from_icon";
  if (side == FastPath::Side::kQueue) return "from_queue";
  return link == kIconLinkPlain ? "from_tunnel" : "from_ethernet_tunnel";
}

// The maps that the filter of an earlier process on this interface holds.
std::vector<UniqueFd> maps_held_at(int interface) {
  std::vector<UniqueFd> maps;
  const bpf_tc_hook hook = hook_at(interface);
  bpf_tc_opts opts = filter();
  if (bpf_tc_query(&hook, &opts) != 0) return maps;
  const UniqueFd program(bpf_prog_get_fd_by_id(opts.prog_id));
  if (!program) return maps;
  std::uint32_t ids[kMapsPerProgramMax]{};
  bpf_prog_info info{};
  info.nr_map_ids = kMapsPerProgramMax;
  info.map_ids = reinterpret_cast<std::uintptr_t>(ids);
  std::uint32_t bytes = sizeof info;
  if (bpf_obj_get_info_by_fd(program.get(), &info, &bytes) != 0) return maps;
  for (std::size_t i = 0; i < std::min<std::size_t>(info.nr_map_ids, kMapsPerProgramMax); ++i)
    if (UniqueFd map(bpf_map_get_fd_by_id(ids[i])); map) maps.push_back(std::move(map));
  return maps;
}

// Another version's maps may have another shape: then the connections in them become conntrack's.
bool fits(const bpf_map* map, const bpf_map_info& held) {
  return std::strncmp(bpf_map__name(map), held.name, sizeof held.name - 1) == 0 &&
         bpf_map__type(map) == held.type && bpf_map__key_size(map) == held.key_size &&
         bpf_map__value_size(map) == held.value_size &&
         bpf_map__max_entries(map) == held.max_entries;
}

void reuse_maps(bpf_object* object, const std::vector<int>& interfaces) {
  std::vector<UniqueFd> held;
  for (std::size_t i = 0; i < interfaces.size() && held.empty(); ++i)
    held = maps_held_at(interfaces[i]);
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    for (const auto& fd : held) {
      bpf_map_info info{};
      std::uint32_t bytes = sizeof info;
      if (bpf_obj_get_info_by_fd(fd.get(), &info, &bytes) == 0 && fits(map, info))
        (void)bpf_map__reuse_fd(map, fd.get());
    }
  }
}

}  // namespace

void FastPath::Close::operator()(bpf_object* object) const { bpf_object__close(object); }

FastPath::~FastPath() = default;

int FastPath::map_fd(FastMap map) const {
  return bpf_object__find_map_fd_by_name(object_.get(), kMapNames[static_cast<int>(map)]);
}

Result<std::unique_ptr<FastPath>> FastPath::create(const Config& config) {
  libbpf_set_print(say_nothing);
  bpf_object_open_opts opts{};
  opts.sz = sizeof opts;
  opts.object_name = "icon_forward";
  bpf_object* object = bpf_object__open_mem(kForwardObject, kForwardObjectBytes, &opts);
  if (object == nullptr) return fail_errno("read the BPF programs");
  std::unique_ptr<FastPath> path(new FastPath(object));
  ICON_CHECK(path->load(config));
  return path;
}

Status FastPath::load(const Config& config) {
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object_.get()) {
    bpf_program__set_type(program, BPF_PROG_TYPE_SCHED_CLS);
  }
  reuse_maps(object_.get(), config.outsides);
  if (const int error = bpf_object__load(object_.get()); error != 0)
    return fail_errno("load the BPF programs", -error);
  icon_settings settings{};
  settings.public_address = htonl(config.public_address.v4_host_order());
  settings.mtu = kMtu;
  settings.mss_max =
      static_cast<std::uint32_t>(std::min(kMtu, config.mtu_outside)) - kTcpIpHeaderBytes;
  const std::uint32_t zero = 0;
  const int fd = bpf_object__find_map_fd_by_name(object_.get(), kSettings);
  if (bpf_map_update_elem(fd, &zero, &settings, BPF_ANY) != 0) return fail_errno("fill a BPF map");
  for (const int outside : config.outsides) ICON_CHECK(put(fast_outside_entries(outside)));
  for (const int outside : config.outsides)
    ICON_CHECK(attach(outside, Side::kOutside, kIconLinkEthernet));
  return {};
}

Status FastPath::attach(int interface, Side side, std::uint32_t link) {
  bpf_tc_hook hook = hook_at(interface);
  if (const int error = bpf_tc_hook_create(&hook); error != 0 && error != -EEXIST)
    return fail_errno("add a clsact queueing discipline", -error);
  const bpf_program* program =
      bpf_object__find_program_by_name(object_.get(), program_of(side, link));
  bpf_tc_opts opts = filter();
  opts.prog_fd = bpf_program__fd(program);
  opts.flags = BPF_TC_F_REPLACE;
  if (const int error = bpf_tc_attach(&hook, &opts); error != 0)
    return fail_errno("attach a BPF program", -error);
  return {};
}

Status FastPath::remove(const std::vector<int>& interfaces) {
  libbpf_set_print(say_nothing);
  Status first;
  for (const int interface : interfaces) {
    const bpf_tc_hook hook = hook_at(interface);
    bpf_tc_opts opts = filter();
    if (bpf_tc_query(&hook, &opts) != 0) continue;
    const bpf_tc_opts ours = filter();
    if (const int error = bpf_tc_detach(&hook, &ours); error != 0 && error != -ENOENT && first)
      first = fail_errno("detach a BPF program", -error);
    const auto others = has_tc_filters(interface);
    if (!others || *others) continue;
    bpf_tc_hook both =
        hook_at(interface, static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS));
    (void)bpf_tc_hook_destroy(&both);
  }
  return first;
}

Status FastPath::put(const FastEntries& entries) {
  for (const auto& [id, value] : entries)
    if (bpf_map_update_elem(map_fd(id.first), id.second.data(), value.data(), BPF_ANY) != 0)
      return fail_errno(std::string("fill the BPF map ") + kMapNames[static_cast<int>(id.first)]);
  return {};
}

void FastPath::erase(const FastEntries& entries) {
  for (const auto& [id, value] : entries) {
    const int fd = map_fd(id.first);
    // An array has no holes: zeros mean "nothing there".
    const std::string zeros(value.size(), '\0');
    if (id.first == FastMap::kTunnels)
      (void)bpf_map_update_elem(fd, id.second.data(), zeros.data(), BPF_ANY);
    else
      (void)bpf_map_delete_elem(fd, id.second.data());
  }
}

FastEntries FastPath::entries() const {
  FastEntries all;
  for (const FastMap map : kFastMaps) {
    const bpf_map* about =
        bpf_object__find_map_by_name(object_.get(), kMapNames[static_cast<int>(map)]);
    std::string key(bpf_map__key_size(about), '\0');
    std::string value(bpf_map__value_size(about), '\0');
    const std::string zeros = value;
    const int fd = bpf_map__fd(about);
    for (int more = bpf_map_get_next_key(fd, nullptr, key.data()); more == 0;
         more = bpf_map_get_next_key(fd, key.data(), key.data()))
      if (bpf_map_lookup_elem(fd, key.data(), value.data()) == 0 && value != zeros)
        all[{map, key}] = value;
  }
  return all;
}

Result<FastFlows> FastPath::flows() const {
  UniqueFd map(fcntl(bpf_object__find_map_fd_by_name(object_.get(), kFlows), F_DUPFD_CLOEXEC, 0));
  if (!map) return fail_errno("keep the map of flows");
  return FastFlows(std::move(map));
}

Status FastPath::count(const Address& overlay, bool on) {
  const int fd = bpf_object__find_map_fd_by_name(object_.get(), kStubTraffic);
  const std::uint32_t key = htonl(overlay.v4_host_order());
  if (!on) {
    (void)bpf_map_delete_elem(fd, &key);
    return {};
  }
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return fail_errno("count the processors", -cpus);
  const std::vector<icon_traffic> nothing(static_cast<std::size_t>(cpus));
  if (bpf_map_update_elem(fd, &key, nothing.data(), BPF_NOEXIST) != 0 && errno != EEXIST)
    return fail_errno("fill the BPF map of the stubs' traffic");
  return {};
}

void FastPath::count_only(const std::set<Address>& overlays) {
  std::set<std::uint32_t> wanted;
  for (const auto& overlay : overlays) wanted.insert(htonl(overlay.v4_host_order()));
  const int fd = bpf_object__find_map_fd_by_name(object_.get(), kStubTraffic);
  std::vector<std::uint32_t> gone;
  std::uint32_t key = 0;
  for (int more = bpf_map_get_next_key(fd, nullptr, &key); more == 0;
       more = bpf_map_get_next_key(fd, &key, &key))
    if (!wanted.contains(key)) gone.push_back(key);
  for (const auto& stub : gone) (void)bpf_map_delete_elem(fd, &stub);
}

Result<FastTraffic> FastPath::traffic() const {
  const auto keep = [&](const char* name) {
    return UniqueFd(
        fcntl(bpf_object__find_map_fd_by_name(object_.get(), name), F_DUPFD_CLOEXEC, 0));
  };
  UniqueFd stubs = keep(kStubTraffic);
  UniqueFd sum = keep(kStubSum);
  if (!stubs || !sum) return fail_errno("keep the maps of the stubs' traffic");
  return FastTraffic(std::move(stubs), std::move(sum));
}

std::uint64_t FastPath::forwarded() const {
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return 0;
  std::vector<std::uint64_t> counts(static_cast<std::size_t>(cpus));
  const std::uint32_t zero = 0;
  const int fd = bpf_object__find_map_fd_by_name(object_.get(), kForwarded);
  if (bpf_map_lookup_elem(fd, &zero, counts.data()) != 0) return 0;
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

Result<std::string> interface_of(const Address& address) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return fail_errno("list addresses");
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> guard(list, freeifaddrs);
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    const auto found = Address::from_sockaddr(entry->ifa_addr);
    if (found && *found == address) return std::string(entry->ifa_name);
  }
  return fail(Code::kNotFound, "no interface has the address " + address.to_string());
}

}  // namespace icon::net
