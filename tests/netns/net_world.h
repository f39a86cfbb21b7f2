// A small internet for the data path's tests. Everything in namespaces named net<pid>-*:
//
// (and IPv6: client 2001:db8:1::2, hosts 2001:db8:a::2, b::2, c::2)
//
//   client 198.51.100.2 ---+
//                          |
//                        router ---+--- host a 192.0.2.2   (supervisor a)
//                                  +--- host b 192.0.2.6   (supervisor b)
//                                  +--- host c 192.0.2.10  (supervisor c)
//
// The "service" is an echo server in the ICON's namespace. A live TCP socket cannot change
// namespaces without CRIU, so a move takes the destination's eth0 out of the destination's
// namespace and plugs it into the service's: the kernel's sockets, and all that the hosts do, are
// real.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "supervisor/net/names.h"
#include "supervisor/net/network.h"
#include "tests/netns/net_sockets.h"
#include "wire/overlay.h"

namespace icon::net::test {

// One host: its namespace, and a supervisor's Network on a loop of its own inside it.
class Host {
 public:
  template <class Work>
  auto call(Work work) {
    return thread_->run([&] { return work(*network_); });
  }
  Host(const std::string& name, const std::string& address);
  ~Host();
  void start();
  // As a crash does: nothing in the kernel is touched but what goes with descriptors.
  void stop();
  void ok(const std::function<Status(Network&)>& work, const char* what);
  std::uint64_t refused(const std::string& counter);

  const std::string& netns() const { return name_; }
  const std::string& id() const { return id_; }
  const std::string& directory() const { return directory_; }
  Endpoint at(std::uint16_t port) const { return {address_, port}; }
  Endpoint at6(std::uint16_t port) const { return {address6_, port}; }
  NetnsThread& thread() { return *thread_; }
  static inline HoldLimits limits{};
  static inline Forwarding forwarding = Forwarding::kNftables;
  static constexpr std::uint16_t kTunnelPortFirst = 27'000;

 private:
  std::string name_;
  Address address_;
  Address address6_;
  std::string id_;
  std::string directory_;
  std::unique_ptr<NetnsThread> thread_;
  std::unique_ptr<Network> network_;
};

// Every test twice: who forwards must make no difference.
class World : public ::testing::TestWithParam<Forwarding> {
 protected:
  void SetUp() override;
  void TearDown() override;
  static void link(const std::string& name, const std::string& router, const std::string& host,
                   const std::string& prefix6);

  // Both ends of a tunnel, as two supervisors would agree on it.
  void open_tunnel(Host& one, Host& other);
  // The ICON starts at `host`, with the echo service in its namespace.
  void start_service(Host& host);
  // A link that was set up a moment ago still swallows packets; TCP would repeat them, UDP not.
  void wait_for_link();
  Address overlay6() const { return wire::overlay_address6(*PublicKey::from_id(icon_.icon_id)); }
  // The output of a command where the service's sockets are.
  std::string in_service(const std::string& command);
  std::string netns_of(Host& host);
  // What CRIU does with the sockets, done with the cable: `to`'s eth0 replaces the present one in
  // the service's namespace, with the same address, route and neighbour.
  void replug(Host& to);
  // The queue devices of finished moves have gone, and what belonged to them.
  static void settle(Host& host);
  IconNetwork icon_at(const std::vector<const Host*>& stub_hosts) const;
  // A whole move; `stub_hosts`: who holds stubs then, the source first.
  void move(
      Host& from, Host& to, const std::vector<const Host*>& stub_hosts, StubTarget target,
      const std::function<void()>& while_held = [] {});
  // Its halves: what precedes the freeze, and the rest.
  void begin_move(Host& from, Host& to, const std::vector<const Host*>& stub_hosts);
  void end_move(
      Host& from, Host& to, StubTarget target, const std::function<void()>& while_held = [] {});
  static int family_of(const Endpoint& to) { return to.address.is_v4() ? AF_INET : AF_INET6; }
  std::unique_ptr<Socket> connect_client(const Endpoint& to, std::uint16_t local_port = 0);
  std::unique_ptr<Socket> udp_client(const Endpoint& to);
  static bool fast() { return GetParam() == Forwarding::kBpf; }
  static std::uint64_t fast_packets(Host& host);
  IconState state(Host& host);

  IconNetwork icon_;
  std::unique_ptr<Host> a_;
  std::unique_ptr<Host> b_;
  std::unique_ptr<Host> c_;
  std::unique_ptr<NetnsThread> client_;
  std::unique_ptr<NetnsThread> router_;
  std::unique_ptr<EchoService> service_;
  std::string service_netns_;
  UniqueFd kept_;
};

inline std::string mode_name(const ::testing::TestParamInfo<Forwarding>& mode) {
  return mode.param == Forwarding::kBpf ? "Bpf" : "Nftables";
}

}  // namespace icon::net::test

#define ICON_BOTH_MODES(suite)                \
  INSTANTIATE_TEST_SUITE_P(Forwarding, suite, \
                           ::testing::Values(Forwarding::kNftables, Forwarding::kBpf), mode_name)
