// The mechanism of one host's data path: namespaces and veth pairs of ICONs, address translation,
// hold queues, tunnels to peers and what forwards through them. It decides nothing.
//
// Works in the network namespace that the process runs in; several supervisors run on one machine
// in different ones. Only the names of ICON namespaces (/run/netns/icon-<supervisor>-<icon>) are
// machine-wide. Start the supervisor with `nsenter --net`, not `ip netns exec`: the latter hides
// the namespaces made here from everybody else.
//
// Every operation is idempotent: after a kill -9 the new supervisor calls create(), attach() and
// attach_stub() with the same arguments, and what the kernel still holds is taken over untouched.
// An operation that fails says so and may be repeated. Loop thread only; nothing suspends. Only
// attach(), open_tunnel() and destroy() take more than a few milliseconds.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/task.h"

namespace icon::net {

// What a hold queue keeps at most; what exceeds it is dropped and counted.
struct HoldLimits {
  std::size_t packets_max = 16'384;
  std::size_t bytes_max = 24 << 20;
};

// Who carries the packets of published ports. Both give every packet the same fate.
enum class Forwarding {
  kAuto,      // the fast path where the kernel and our privileges allow it
  kNftables,  // the rules alone
  kBpf,       // the fast path, or create() fails
};

struct NetworkConfig {
  std::string supervisor_id;               // the first 8 characters name what is made here
  Address public_address;                  // what users dial; an IPv4 address of this host
  std::optional<Address> public_address6;  // the same for users with IPv6
  std::string external_interface;          // towards the world; empty: whichever the routes say
  std::string run_directory;               // sockets and pid files of tunnels; better a tmpfs
  std::string tunnel_program = "icon-tunnel";
  // UDP ports of tunnels begin here, one per peer, for who must open them in a firewall; 0: any.
  std::uint16_t tunnel_port_first = 0;
  // `wg show` finds them. Its directory is one for the whole machine, whatever the namespaces.
  bool publish_tunnels = false;
  // What one peer's tunnel may bring in; 0: any amount.
  std::uint64_t tunnel_bits_per_second = 0;
  std::uint64_t tunnel_packets_per_second = 0;
  // The private keys of the tunnels derive from it, so that a restarted tunnel is the same peer.
  // Itself derived from the supervisor's seed: see tunnel_secret_from_seed().
  std::array<std::uint8_t, 32> tunnel_secret{};
  HoldLimits hold;
  Forwarding forwarding = Forwarding::kAuto;
};

struct ForwardingState {
  bool fast = false;
  std::string why_not;             // with !fast
  std::uint64_t fast_packets = 0;  // that the fast path carried
};

enum class Protocol { kTcp, kUdp };

struct PortMapping {
  Protocol protocol = Protocol::kTcp;
  std::uint16_t container = 0;
  std::uint16_t public_port = 0;
  auto operator<=>(const PortMapping&) const = default;
};

struct IconNetwork {
  std::string icon_id;  // 52 characters
  Address overlay;      // wire::overlay_address()
  std::vector<PortMapping> ports;
  // Peers that hold a stub of this ICON: their tunnels may deliver to it. Every one needs
  // open_tunnel() first.
  std::vector<std::string> stub_hosts;
  // Where it ran before: gets the packets of connections this host has not seen yet. One of
  // stub_hosts, or empty.
  std::string previous_host;
};

enum class StubMode {
  kForward,   // new connections follow through the tunnel
  kRedirect,  // new TCP connections go to the local stub process; UDP follows
};

struct StubTarget {
  std::string peer_id;  // the host that runs the ICON; its tunnel must be open
  StubMode mode = StubMode::kForward;
  std::uint16_t stub_port = 0;  // kRedirect: where the stub process listens on this host
};

// Of an ICON that runs here: whose new TCP connections go to the local stub process, because
// another place serves them better.
struct Guidance {
  std::vector<Prefix> networks;  // IPv4, a /24 each, none twice
  bool everybody = false;        // instead
  std::uint16_t stub_port = 0;
  bool operator==(const Guidance&) const = default;
};

// One end of a tunnel, as the two supervisors tell each other.
struct TunnelEnd {
  std::string public_key;  // X25519, 64 hex digits
  Endpoint endpoint;       // UDP
};

struct HoldState {
  bool holding = false;
  std::uint64_t packets = 0;  // in the queue now
  std::uint64_t bytes = 0;
  std::uint64_t dropped_packets = 0;   // over the limits
  std::uint64_t released_packets = 0;  // since the last hold
};

struct IconState {
  std::string icon_id;
  Address overlay;
  bool attached = false;  // namespace and veth are here
  bool held = false;
  std::string stub_peer;  // not empty: a stub that forwards to this peer
  StubMode stub_mode = StubMode::kForward;
  HoldState hold;
};

struct TunnelState {
  std::string peer_id;
  std::string interface;
  TunnelEnd local;
  TunnelEnd remote;  // empty key: not connected yet
  std::uint32_t mark = 0;
  int pid = -1;
  std::int64_t last_handshake_ms = 0;  // UTC; 0: none yet
  std::uint64_t rx_bytes = 0;
  std::uint64_t tx_bytes = 0;
  std::uint64_t dropped_packets = 0;  // forged, replayed, malformed
  std::vector<std::string> icons;     // whose packets it carries
};

// What went by a stub since it began. Packets as the kernel hands them over: one may be several
// segments. What the stub process answered itself is not among it.
struct StubTraffic {
  std::uint64_t packets_to = 0;  // towards the ICON
  std::uint64_t bytes_to = 0;    // from the IP header on
  std::uint64_t packets_from = 0;
  std::uint64_t bytes_from = 0;
  std::uint64_t connections = 0;  // begun by it, of TCP and UDP

  StubTraffic& operator+=(const StubTraffic& other);
};
struct StubTraffics {
  std::map<std::string, StubTraffic> stubs;  // by ICON
  StubTraffic sum;                           // also of stubs that are gone
};

class Network {
 public:
  // Loads the nftables table in one transaction, keeping the elements of an earlier supervisor,
  // and sets ip_forward and the conntrack sysctls. Errors: kRefused (not root), kIo, kInvalid.
  static Result<std::unique_ptr<Network>> create(IoContext& loop, NetworkConfig config);
  // Leaves everything in the kernel as it is: ICONs, stubs and tunnels go on.
  virtual ~Network() = default;

  // Removes every trace: ICONs, stubs, tunnels, table, rules. Goes on after an error and returns
  // the first.
  virtual Status destroy() = 0;

  // After a restart, when everything that should be here has been attached and opened again:
  // removes what an earlier supervisor left and nobody has claimed.
  virtual Status prune() = 0;

  virtual std::string netns_name(const std::string& icon_id) const = 0;
  std::string netns_path(const std::string& icon_id) const {
    return "/run/netns/" + netns_name(icon_id);
  }

  // Namespace, veth, route, translation of new connections. On an ICON that is attached already:
  // nothing is disturbed; changed `ports` and `stub_hosts` take effect.
  // Errors: kConflict (another ICON has the overlay address or a public port), kInvalid, kIo,
  // kNotFound (a stub host without tunnel).
  virtual Status attach(const IconNetwork& icon) = 0;
  // The same at a destination before COMMIT: nothing leaves, nothing arrives, nothing is
  // translated. What arrives by a stub host's tunnel, and what the restored process sends, waits in
  // a queue, so the source may divert without waiting for release(). A stub for the ICON on this
  // host goes on until release().
  virtual Status attach_held(const IconNetwork& icon) = 0;
  // The source's copy has stopped: what users have ended at this host's stub since attach_held() is
  // forgotten, on another thread, beside the restore.
  virtual Status prepare_release(const std::string& icon_id) = 0;
  // Ends `held`: in the gap, so it only switches: two nftables and two route transactions.
  virtual Status release(const std::string& icon_id) = 0;

  // After a restart, the frozen original of a move that was committed: as hold() leaves it, with
  // nothing open for a moment in between. divert() or unhold() follow.
  virtual Status attach_frozen(const IconNetwork& icon) = 0;

  // Makes the queue device early (STAGE), so that hold() only switches.
  virtual Status prepare_hold(const std::string& icon_id) = 0;
  // The source, before the dump: what arrives is queued, what the ICON sends is dropped.
  // hold() = hold_ingress() + close_egress(). Freezing between the two lets answers to what has
  // arrived already leave; close_egress() must precede the dump, or the frozen kernel retransmits
  // with timestamps later than the dumped ones.
  virtual Status hold(const std::string& icon_id) = 0;
  virtual Status hold_ingress(const std::string& icon_id) = 0;
  virtual Status close_egress(const std::string& icon_id) = 0;
  // While held: what `peer_id`'s tunnel brings from the ICON goes on to the users. A copy that is
  // released speaks before its source has heard of it. divert() or unhold() ends it.
  virtual Status expect_from(const std::string& icon_id, const std::string& peer_id) = 0;
  // Rollback: egress open, queue delivered in order, route back.
  virtual Status unhold(const std::string& icon_id) = 0;
  // COMMIT: the queue, then everything for open connections goes into the tunnel; new connections
  // by `target.mode`. Egress of what is left of the ICON here stays closed. Also on an ICON that is
  // not held.
  virtual Status divert(const std::string& icon_id, const StubTarget& target) = 0;
  // Removes veth and namespace. Keeps the stub when one forwards; else forgets the ICON.
  virtual Status detach(const std::string& icon_id) = 0;

  // A stub without a namespace: what divert() and detach() leave, for a new supervisor.
  virtual Status attach_stub(const IconNetwork& icon, const StubTarget& target) = 0;
  // The ICON moved on: straight to the newest host. Make before break; packets that still return
  // by the earlier host are accepted until remove_stub(). kRedirect/kForward may change as well.
  virtual Status repoint(const std::string& icon_id, const StubTarget& target) = 0;
  // Ends the forwarding. Errors: kNotFound, kConflict (the ICON runs here).
  virtual Status remove_stub(const std::string& icon_id) = 0;
  // Replaces what was said before; nothing, and all are served here again. Ends when the ICON moves
  // on. Errors: kNotFound (it does not run here), kInvalid, kIo.
  virtual Status guide(const std::string& icon_id, const Guidance& guidance) = 0;
  // At the ICON's host: `peer_id` holds a stub, or holds none any more.
  virtual Status allow_stub_host(const std::string& icon_id, const std::string& peer_id) = 0;
  virtual Status deny_stub_host(const std::string& icon_id, const std::string& peer_id) = 0;

  // One tunnel per peer. Starts or adopts the process; a tunnel that died is restarted with the
  // same key and port. Errors: kIo, kNotFound (no program), kTimeout.
  virtual Result<TunnelEnd> open_tunnel(const std::string& peer_id) = 0;
  // Errors: kNotFound (not open), kInvalid.
  virtual Status connect_tunnel(const std::string& peer_id, const TunnelEnd& remote) = 0;
  // Errors: kConflict while an ICON or a stub uses it. No error when it is not open.
  virtual Status close_tunnel(const std::string& peer_id) = 0;

  virtual std::vector<IconState> icons() const = 0;
  virtual Result<IconState> icon_state(const std::string& icon_id) const = 0;
  virtual std::vector<TunnelState> tunnels() = 0;
  virtual ForwardingState forwarding() const = 0;
  // Packets that the rules refused, by reason: docs/network.md, "What is refused".
  virtual Result<std::vector<std::pair<std::string, std::uint64_t>>> refused_packets() = 0;
  // Reads what the stubs of this moment have carried: some ms per thousand of them, so the reading
  // is for another thread, of the same network namespace. It may outlive the Network. Errors: kIo.
  virtual std::function<Result<StubTraffics>()> stub_traffic() = 0;
};

// What unhold() does, less what waits in the queue, as programs with arguments: for a guard that
// outlives a killed supervisor, whose queue device is gone, and the routes with it. Each is right
// by itself. Pure.
std::vector<std::vector<std::string>> undo_hold_commands(const std::string& icon_id,
                                                         const Address& overlay);

// One-way: knowing the result does not help to find the seed.
std::array<std::uint8_t, 32> tunnel_secret_from_seed(std::span<const std::uint8_t, 32> seed);

}  // namespace icon::net
