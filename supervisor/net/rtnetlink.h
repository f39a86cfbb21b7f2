// Links, addresses, neighbours, routes and rules over one rtnetlink socket (libmnl): a change is
// one message and its acknowledgement, about 20 us, and starts no process.
//
// A socket belongs to the namespace it was opened in, whoever uses it. Blocking; one thread at a
// time. Creating what exists and deleting what does not are no errors.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "base/result.h"

struct mnl_socket;
struct nlmsghdr;

namespace icon::net {

using Mac = std::array<std::uint8_t, 6>;

struct VethPair {
  std::string name;
  Mac mac{};
  std::string peer_name;
  Mac peer_mac{};
  int peer_netns_fd = -1;
  int mtu = 0;
};

struct Link {
  int index = 0;
  std::uint16_t type = 0;  // ARPHRD_*
  int mtu = 0;
};

inline constexpr std::uint32_t kMainTable = 254;
inline constexpr std::uint8_t kRouteProtocol = 73;  // who made a route, as `ip route` shows it
inline constexpr int kAnyInterface = -1;

struct Route {
  Prefix destination{};
  int interface = 0;  // index; 0: blackhole; kAnyInterface: whichever, for delete_route()
  Address gateway{};  // with `via_gateway`: on-link, whatever the addresses say
  bool via_gateway = false;
  std::uint32_t table = kMainTable;
  std::uint32_t metric = 0;
};

// Packets with exactly this mark look into this table.
struct MarkRule {
  std::uint32_t mark = 0;
  std::uint32_t table = 0;
  std::uint32_t priority = 0;
  auto operator<=>(const MarkRule&) const = default;
};

// Rules that stand around those: what they do is fixed.
enum class FrameRule {
  kOwnPackets,  // this host's own packets, whatever their mark, go by the main table: no loops
  kSkip,        // packets without a mark of ours pass over all MarkRules at once ...
  kSkipEnd,     // ... to here
};

class RouteSocket {
 public:
  static Result<RouteSocket> open();
  RouteSocket(RouteSocket&& other) noexcept;
  RouteSocket& operator=(RouteSocket&& other) noexcept;
  ~RouteSocket();

  // The pair and both ends' addresses, not up. Errors: kConflict when the name is taken.
  Status add_veth(const VethPair& pair);
  Status delete_link(const std::string& name);
  Status set_link_up(int interface);
  // And, if given, the length of its queue.
  Status set_link_mtu(int interface, int mtu, std::optional<int> queue_packets = std::nullopt);
  // As a host address. `link_scope`: not chosen as source towards the world.
  Status add_address(int interface, const Address& address, bool link_scope = false);
  Status set_neighbour(int interface, const Address& address, const Mac& mac);
  // Each takes the place of the route with the same destination, table and metric, without a moment
  // in between. All in one message to the kernel, which carries out each of them, whatever becomes
  // of the others; the first error is returned.
  Status replace_routes(const std::vector<Route>& routes);
  Status replace_route(const Route& route) { return replace_routes({route}); }
  Status delete_routes(const std::vector<Route>& routes);
  Status delete_route(const Route& route) { return delete_routes({route}); }
  // What this program's routes are (by their protocol number), in every table.
  Result<std::vector<Route>> own_routes();
  // The interfaces by which the main table reaches something through an IPv4 gateway.
  Result<std::set<int>> gateway_interfaces();
  Status add_rule(const MarkRule& rule);
  Status delete_rule(const MarkRule& rule);
  Result<std::vector<MarkRule>> rules();  // those that match one mark alone
  Status add_rule(FrameRule rule);
  Status delete_rule(FrameRule rule);
  Result<std::vector<std::string>> link_names();
  // Of the namespace of this socket. Errors: kNotFound.
  Result<Link> link(const std::string& name);
  Result<int> link_index(const std::string& name);

 private:
  explicit RouteSocket(mnl_socket* socket) : socket_(socket) {}
  Status talk(nlmsghdr* message, const std::string& what, std::initializer_list<int> harmless);
  Status change_routes(std::uint16_t type, std::uint16_t flags, const std::vector<Route>& routes,
                       const std::string& what, std::initializer_list<int> harmless);
  // The acknowledgements of the requests from `first` on, in their order: 0 or an errno value each.
  Result<std::vector<int>> acknowledgements(std::uint32_t first, std::size_t count);
  using Parse = int (*)(const nlmsghdr*, void*);
  // 0 or an errno value.
  int exchange(nlmsghdr* message, Parse parse, void* result);
  mnl_socket* socket_ = nullptr;
  std::uint32_t sequence_ = 0;
};

}  // namespace icon::net
