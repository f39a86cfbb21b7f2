// Network on the real kernel. The state of an ICON is a value (IconRules); the elements it stands
// for follow from it, and a transition changes the value and loads the difference.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "supervisor/net/fast_path.h"
#include "supervisor/net/flow_sweeper.h"
#include "supervisor/net/hold_queue.h"
#include "supervisor/net/network.h"
#include "supervisor/net/nft.h"
#include "supervisor/net/nft_watch.h"
#include "supervisor/net/rtnetlink.h"
#include "supervisor/net/rules.h"
#include "supervisor/net/tunnel_device.h"

namespace icon::net {

// After a change that has left something behind, and, with the fast path, now and then.
inline constexpr Millis kTidySoon{1000};
inline constexpr Millis kTidyEvery{std::chrono::minutes(5)};

class NetworkImpl final : public Network {
 public:
  NetworkImpl(IoContext& loop, NetworkConfig config, Nft nft, RouteSocket routes,
              std::unique_ptr<TunnelDevices> devices);
  ~NetworkImpl() override;
  Status load();  // create()'s work

  Status destroy() override;
  Status prune() override;
  std::string netns_name(const std::string& icon_id) const override;
  Status attach(const IconNetwork& icon) override;
  Status attach_held(const IconNetwork& icon) override;
  Status attach_frozen(const IconNetwork& icon) override;
  Status release(const std::string& icon_id) override;
  Status prepare_release(const std::string& icon_id) override;
  Status prepare_hold(const std::string& icon_id) override;
  Status hold(const std::string& icon_id) override;
  Status hold_ingress(const std::string& icon_id) override;
  Status close_egress(const std::string& icon_id) override;
  Status expect_from(const std::string& icon_id, const std::string& peer_id) override;
  Status unhold(const std::string& icon_id) override;
  Status divert(const std::string& icon_id, const StubTarget& target) override;
  Status detach(const std::string& icon_id) override;
  Status attach_stub(const IconNetwork& icon, const StubTarget& target) override;
  Status repoint(const std::string& icon_id, const StubTarget& target) override;
  Status remove_stub(const std::string& icon_id) override;
  Status guide(const std::string& icon_id, const Guidance& guidance) override;
  Status allow_stub_host(const std::string& icon_id, const std::string& peer_id) override;
  Status deny_stub_host(const std::string& icon_id, const std::string& peer_id) override;
  Result<TunnelEnd> open_tunnel(const std::string& peer_id) override;
  Status connect_tunnel(const std::string& peer_id, const TunnelEnd& remote) override;
  Status close_tunnel(const std::string& peer_id) override;
  std::vector<IconState> icons() const override;
  Result<IconState> icon_state(const std::string& icon_id) const override;
  std::vector<TunnelState> tunnels() override;
  ForwardingState forwarding() const override;
  Result<std::vector<std::pair<std::string, std::uint64_t>>> refused_packets() override;
  std::function<Result<StubTraffics>()> stub_traffic() override;

 private:
  struct Icon {
    IconRules rules;
    Elements elements;  // loaded for it
    FastPlace place;
    FastEntries fast;  // in the fast path's maps for it
    std::shared_ptr<HoldQueue> queue;
    bool ingress_held = false;
    // After a release the queue device stays for a moment: packets may still be on their way
    // through it.
    std::unique_ptr<boost::asio::steady_timer> settling;
    std::vector<FlowSweeper::Sweep> sweeps;  // to be done before it is released
  };
  struct Tunnel {
    std::string interface;
    std::uint32_t mark = 0;
    TunnelEnd local;
    TunnelEnd remote;
  };

  // network_impl.cc
  // What every interface of ours on the host needs; returns its index.
  Result<int> prepare_interface(const std::string& interface, int queue_packets);
  Result<Icon*> find(const std::string& icon_id);
  Status set_host_sysctls();
  Status set_host_sysctls6();
  PublicAddresses public_addresses() const;
  // The ICON's addresses, IPv6 where the kernel has it, as prefixes of one address.
  std::vector<Prefix> overlays_of(const IconRules& rules) const;
  std::vector<Prefix> everywhere() const;
  Status route_all(const std::vector<Prefix>& destinations, const Route& route);
  Status unroute_all(const std::vector<Prefix>& destinations, const Route& route);
  Status reload_elements();
  Status look_again();  // reads the elements back; loads the table anew when it is gone
  void heal();          // somebody has taken rules of ours away
  Status restore_table();
  Status run_change(const Elements& removable, const Elements& wanted);
  Status check_conflicts(const std::string& icon_id, const Elements& wanted) const;
  // Applies `change` to a copy of the rules, loads the difference, keeps the copy on success.
  Status transition(Icon& icon, const std::function<void(IconRules&)>& change);
  Status check_network(const IconNetwork& icon) const;
  Icon& known_or_new(const IconNetwork& network);
  bool uses_tunnel(const Icon& icon, const std::string& peer_id) const;
  IconState state_of(const std::string& icon_id, const Icon& icon) const;
  // Of the peers that these rules name.
  std::map<std::string, std::uint32_t> marks_for(const IconRules& rules) const;
  // What an earlier supervisor left and nobody has claimed, by whom it speaks of.
  void index_unclaimed();
  void add_unclaimed(const IconRules& rules, Elements& elements) const;
  void claim(Icon& icon, IconRules rules, const Elements& wanted);

  // network_fast.cc: the fast path follows the rules. It never fails an operation: what it does
  // not hold, the rules do.
  Status start_fast_path();
  Result<std::unique_ptr<FastPath>> make_fast_path();
  Status remove_fast_path();
  Result<std::vector<Link>> links_outside();
  // What an earlier supervisor attached where the world is not any more.
  Status detach_elsewhere();
  void note_interface(const std::string& name, const Link& link);
  // Before the rules change: what will not hold any more leaves the maps; packets take the rules.
  void narrow_fast(Icon& icon, const FastEntries& wanted);
  void load_fast(Icon& icon, const FastEntries& wanted);
  FastEntries fast_wanted(const Icon& icon, const IconRules& rules) const;
  Status route_tunnels6(const Elements& wanted);
  void mirror_tunnels(const Elements& removable, const Elements& wanted);
  void prune_fast();
  void count_fast(const IconRules& rules);

  // network_attach.cc
  // Before a restore a byte is missing from the MTUs: network_attach.cc says why.
  enum class Mtu { kFull, kBeforeRestore };
  Status set_up_namespace(const IconNetwork& icon, Mtu mtu);
  Status set_up_inside(const UniqueFd& netns, const IconNetwork& icon, Mtu mtu);
  static Status set_inside_mtu(RouteSocket& inside, Mtu mtu);
  Status grow_inside_mtu(const std::string& icon_id);
  Status set_up_inside6(RouteSocket& inside, int eth0, const IconNetwork& icon);
  Status set_up_veth(const UniqueFd& netns, RouteSocket& inside, const IconNetwork& icon);
  Status tear_down_namespace(const std::string& icon_id);
  Status forget(const std::string& icon_id);

  // network_move.cc
  Status ensure_queue(Icon& icon);
  Status route_to(Icon& icon, int interface, std::uint32_t table);
  Status route_into_queue(Icon& icon);
  // The queue goes to `interface` in order, the route follows.
  Status switch_to(Icon& icon, int interface);
  void settle_later(const std::string& icon_id, Icon& icon);
  Status settle(Icon& icon);
  Status set_up_arrival(Icon& icon);
  Result<int> stub_interface(const StubTarget& target);

  // network_flows.cc: what this host remembers of connections that are over.
  Status start_sweeper();
  std::set<Address> addresses_of(const IconRules& rules) const;
  void sweep(Icon& icon);
  void sweep_again(Icon& icon);
  void wait_for_sweep(Icon& icon) const;
  void tidy_after(Millis time);
  void tidy();
  void tidy_all();

  // network_tunnels.cc
  Result<std::uint32_t> mark_for(const std::string& interface) const;

  IoContext& loop_;
  NetworkConfig config_;
  Nft nft_;
  std::unique_ptr<NftWatch> watch_;
  RouteSocket routes_;
  std::unique_ptr<TunnelDevices> devices_;
  Elements current_;                // in the kernel
  std::unique_ptr<FastPath> fast_;  // null: nftables alone
  std::string why_not_fast_;
  std::set<int> outsides_;                           // interfaces towards the world, with fast_
  bool ipv6_ = false;                                // the kernel has it
  std::map<int, std::uint32_t> links_;               // interface index -> kIconLink*
  std::map<std::string, FastEntries> fast_tunnels_;  // by interface
  std::map<std::string, Icon> icons_;
  // So that a change costs the same, however many ICONs there are.
  std::map<Elements::key_type, std::string> owners_;          // element -> ICON
  std::map<Address, std::string> overlays_;                   // -> ICON
  std::map<std::string, std::string> short_names_;            // -> ICON
  std::multimap<std::string, Elements::key_type> unclaimed_;  // part -> element
  std::map<std::string, Tunnel> tunnels_;                     // by peer id
  std::unique_ptr<FlowSweeper> sweeper_;
  std::set<Address> left_;  // overlay addresses of ICONs that have left since the last tidying
  boost::asio::steady_timer tidying_;
  std::optional<SteadyTime> tidy_due_;
  std::shared_future<void> tidied_;
};

// Logs "net.<what>" with its duration when it ends. For what happens in the gap.
class Timed {
 public:
  Timed(const char* what, const std::string& icon_id);
  ~Timed();
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  const char* what_;
  const std::string& icon_id_;
  SteadyTime begin_;
};

bool has_ipv6();
// net/ipv4/conf/<interface>/<name>
Status set_interface_sysctl(const std::string& interface, const char* name, const char* value);
// IPv6 on, without anything that the kernel or a router would add by itself.
Status prepare_ipv6(const std::string& interface);

}  // namespace icon::net
