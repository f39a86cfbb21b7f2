#include "tests/netns/net_world.h"

#include <cstdlib>
#include <filesystem>

#include "base/keys.h"
#include "base/log.h"
#include "base/netns.h"
#include "supervisor/net/names.h"
#include "supervisor/net/netns_files.h"

namespace icon::net::test {

Host::Host(const std::string& name, const std::string& address)
    : name_(prefix() + name),
      address_(*Address::parse(address)),
      address6_(*Address::parse("2001:db8:" + name + "::2")),
      id_(KeyPair::generate().id()),
      directory_("/run/" + prefix() + name),
      thread_(std::make_unique<NetnsThread>(name_)) {
  start();
}

Host::~Host() {
  if (!network_) start();
  const auto status = call([](Network& network) { return network.destroy(); });
  EXPECT_TRUE(status) << status.error().message;
  stop();
  thread_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void Host::start() {
  NetworkConfig config;
  config.supervisor_id = id_;
  config.public_address = address_;
  config.public_address6 = address6_;
  config.run_directory = directory_;
  config.tunnel_program = std::string(ICON_BIN_DIR) + "/icon-tunnel";
  config.tunnel_port_first = kTunnelPortFirst;
  config.tunnel_secret.fill(static_cast<std::uint8_t>(id_[0]));
  config.hold = limits;
  config.forwarding = forwarding;
  const auto status = thread_->run([&]() -> Status {
    ICON_TRY(network_, Network::create(thread_->loop(), std::move(config)));
    return {};
  });
  ASSERT_TRUE(status) << status.error().message;
}

void Host::stop() {
  thread_->run([&] { network_.reset(); });
}

void Host::ok(const std::function<Status(Network&)>& work, const char* what) {
  const auto status = call(work);
  ASSERT_TRUE(status) << name_ << ": " << what << ": " << status.error().message;
}

std::uint64_t Host::refused(const std::string& counter) {
  const auto counters = call([](Network& network) { return network.refused_packets(); });
  for (const auto& [name, packets] : counters.value_or(decltype(counters)::value_type{}))
    if (name == counter) return packets;
  return UINT64_MAX;
}

void World::SetUp() {
  Host::forwarding = GetParam();
  // The events, with the time that each step took, for who wants to see them.
  const char* path = getenv("ICON_TEST_LOG");
  log::init(log::Level::kInfo, path == nullptr ? "/dev/null" : path);
  for (const char* name : {"client", "router", "a", "b", "c"}) {
    const auto made = ensure_netns(prefix() + name);
    ASSERT_TRUE(made) << made.error().message;
    // Without waits for a second host that has the same link-local address.
    must(prefix() + name,
         "ip link set lo up; echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad; "
         "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad");
  }
  link("client", "198.51.100.1", "198.51.100.2", "2001:db8:1");
  link("a", "192.0.2.1", "192.0.2.2", "2001:db8:a");
  link("b", "192.0.2.5", "192.0.2.6", "2001:db8:b");
  link("c", "192.0.2.9", "192.0.2.10", "2001:db8:c");
  must(prefix() + "router",
       "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
  // The strict setting that many systems have: our interfaces must not depend on it.
  for (const char* name : {"a", "b", "c"})
    must(prefix() + name, "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 > $f; done");
  a_ = std::make_unique<Host>("a", "192.0.2.2");
  b_ = std::make_unique<Host>("b", "192.0.2.6");
  c_ = std::make_unique<Host>("c", "192.0.2.10");
  client_ = std::make_unique<NetnsThread>(prefix() + "client");
  router_ = std::make_unique<NetnsThread>(prefix() + "router");
  const KeyPair key = KeyPair::generate();
  icon_.icon_id = key.id();
  icon_.overlay = wire::overlay_address(key.public_key());
  icon_.ports = {{Protocol::kTcp, 80, 8080}, {Protocol::kUdp, 80, 8080}};
}

void World::TearDown() {
  service_.reset();
  client_.reset();
  router_.reset();
  for (auto* host : {&a_, &b_, &c_}) host->reset();
  for (const char* name : {"client", "router", "a", "b", "c"})
    EXPECT_TRUE(remove_netns(prefix() + name));
}

void World::link(const std::string& name, const std::string& router, const std::string& host,
                 const std::string& prefix6) {
  must("", "ip link add ext netns " + prefix() + name + " type veth peer name to-" + name +
               " netns " + prefix() + "router");
  must(prefix() + "router", "ip addr add " + router + "/30 dev to-" + name + "; ip addr add " +
                                prefix6 + "::1/64 nodad dev to-" + name + "; ip link set to-" +
                                name + " up");
  must(prefix() + name, "ip addr add " + host + "/30 dev ext; ip addr add " + prefix6 +
                            "::2/64 nodad dev ext; ip link set ext up; ip route add default via " +
                            router + "; ip -6 route add default via " + prefix6 + "::1");
}

void World::open_tunnel(Host& one, Host& other) {
  const auto open = [](Host& host, const Host& peer) {
    return host.call([&](Network& network) { return network.open_tunnel(peer.id()); });
  };
  const auto end_one = open(one, other);
  const auto end_other = open(other, one);
  ASSERT_TRUE(end_one && end_other);
  ASSERT_GE(end_one->endpoint.port, Host::kTunnelPortFirst);
  ASSERT_LT(end_one->endpoint.port, Host::kTunnelPortFirst + 3);
  one.ok([&](Network& n) { return n.connect_tunnel(other.id(), *end_other); }, "connect");
  other.ok([&](Network& n) { return n.connect_tunnel(one.id(), *end_one); }, "connect");
}

void World::start_service(Host& host) {
  host.ok([&](Network& n) { return n.attach(icon_); }, "attach");
  service_netns_ = netns_of(host);
  auto fd = open_netns(service_netns_);
  ASSERT_TRUE(fd);
  // A second name: the first goes with detach().
  kept_ = std::move(*fd);
  auto again = open_netns(service_netns_);
  service_ = std::make_unique<EchoService>(std::move(*again));
  wait_for_link();
}

void World::wait_for_link() {
  EXPECT_NE(in_service("for i in $(seq 200); do ip link show eth0 | grep -q 'state UP' && echo up "
                       "&& exit 0; sleep 0.005; done"),
            "");
}

std::string World::in_service(const std::string& command) {
  Command line;
  line.argv = {"/bin/sh", "-c", command};
  std::string output;
  const auto status = in_netns(kept_, [&]() -> Status {
    ICON_TRY(CommandOutcome outcome, run_command_blocking(std::move(line)));
    output = outcome.output;
    return {};
  });
  return status ? output : status.error().message;
}

std::string World::netns_of(Host& host) {
  return host.call([&](Network& n) { return n.netns_name(icon_.icon_id); });
}

void World::replug(Host& to) {
  must(netns_of(to), "ip link set eth0 down; ip link set eth0 name moved netns /proc/" +
                         std::to_string(getpid()) + "/fd/" + std::to_string(kept_.get()));
  const std::string address = icon_.overlay.to_string() + "/32";
  const std::string address6 = overlay6().to_string() + "/128";
  Command command;
  command.argv = {"/bin/sh", "-c",
                  "set -e; ip addr del " + address + " dev eth0; ip -6 addr del " + address6 +
                      " dev eth0; ip link set eth0 down; ip link set eth0 name old$(date +%N); "
                      "ip link set moved name eth0; ip addr add " +
                      address +
                      " dev eth0; ip link set eth0 up; ip neigh replace 169.254.1.1 lladdr "
                      "02:1c:0e:fe:01:01 nud permanent dev eth0; "
                      "ip route replace default via 169.254.1.1 dev eth0 onlink; ip addr add " +
                      address6 +
                      " nodad dev eth0; ip neigh replace fe80::1 lladdr 02:1c:0e:fe:01:01 nud "
                      "permanent dev eth0; ip -6 route replace default via fe80::1 dev eth0"};
  const auto status = in_netns(kept_, [&] { return run_checked_blocking(std::move(command)); });
  ASSERT_TRUE(status) << status.error().message;
  // From now on the service's namespace is the one that `to` knows.
  const std::string path = "/run/netns/" + netns_of(to);
  must("", "umount -l " + path + " && mount --bind " + service_->netns_file() + " " + path);
  wait_for_link();
}

void World::settle(Host& host) {
  must(host.netns(),
       "for i in $(seq 200); do ip -o link | grep -q ' ih' || exit 0; sleep 0.02; done; exit 1");
  // The device goes first: the loop answers when the rest has gone too.
  host.call([](Network&) { return true; });
}

IconNetwork World::icon_at(const std::vector<const Host*>& stub_hosts) const {
  IconNetwork icon = icon_;
  for (const auto* host : stub_hosts) icon.stub_hosts.push_back(host->id());
  if (!stub_hosts.empty()) icon.previous_host = stub_hosts.front()->id();
  return icon;
}

void World::move(Host& from, Host& to, const std::vector<const Host*>& stub_hosts,
                 StubTarget target, const std::function<void()>& while_held) {
  begin_move(from, to, stub_hosts);
  end_move(from, to, std::move(target), while_held);
}

void World::begin_move(Host& from, Host& to, const std::vector<const Host*>& stub_hosts) {
  open_tunnel(from, to);
  to.ok([&](Network& n) { return n.attach_held(icon_at(stub_hosts)); }, "attach_held");
}

void World::end_move(Host& from, Host& to, StubTarget target,
                     const std::function<void()>& while_held) {
  target.peer_id = to.id();
  from.ok([&](Network& n) { return n.hold(icon_.icon_id); }, "hold");
  while_held();
  to.ok([&](Network& n) { return n.prepare_release(icon_.icon_id); }, "prepare_release");
  replug(to);
  from.ok([&](Network& n) { return n.divert(icon_.icon_id, target); }, "divert");
  to.ok([&](Network& n) { return n.release(icon_.icon_id); }, "release");
  from.ok([&](Network& n) { return n.detach(icon_.icon_id); }, "detach");
}

std::unique_ptr<Socket> World::connect_client(const Endpoint& to, std::uint16_t local_port) {
  return client_->run([&]() -> std::unique_ptr<Socket> {
    auto socket = std::make_unique<Socket>(SOCK_STREAM, family_of(to));
    const Address local = to.address.is_v4() ? Address{} : Address::v6({});
    if (local_port != 0 && !socket->bind_to({local, local_port})) return nullptr;
    if (!socket->connect_to(to)) return nullptr;
    return socket;
  });
}

std::unique_ptr<Socket> World::udp_client(const Endpoint& to) {
  return client_->run([&] {
    auto socket = std::make_unique<Socket>(SOCK_DGRAM, family_of(to));
    (void)socket->connect_to(to);
    return socket;
  });
}

std::uint64_t World::fast_packets(Host& host) {
  return host.call([](Network& n) { return n.forwarding(); }).fast_packets;
}

IconState World::state(Host& host) {
  const auto state = host.call([&](Network& n) { return n.icon_state(icon_.icon_id); });
  return state.value_or(IconState{});
}

}  // namespace icon::net::test
