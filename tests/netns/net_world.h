// A small internet for the data path's tests. Everything in namespaces named net<pid>-*:
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
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <filesystem>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "base/keys.h"
#include "base/log.h"
#include "base/netns.h"
#include "base/subprocess.h"
#include "supervisor/net/names.h"
#include "supervisor/net/netns_files.h"
#include "supervisor/net/network.h"
#include "wire/overlay.h"

namespace icon::net::test {

inline std::string prefix() { return "net" + std::to_string(getpid()) + "-"; }

inline CommandOutcome shell(const std::string& netns, const std::string& command) {
  std::vector<std::string> argv{"/bin/sh", "-c", command};
  if (!netns.empty()) argv.insert(argv.begin(), {"nsenter", "--net=/run/netns/" + netns});
  Command command_line;
  command_line.argv = std::move(argv);
  auto outcome = run_command_blocking(std::move(command_line));
  if (!outcome) return {127, "", outcome.error().message};
  return *outcome;
}

inline void must(const std::string& netns, const std::string& command) {
  const auto outcome = shell(netns, command);
  ASSERT_TRUE(outcome.ok()) << command << ": " << outcome.error_output;
}

// A thread that lives in a namespace and does what it is told, one thing after another.
class NetnsThread {
 public:
  explicit NetnsThread(const std::string& netns)
      : guard_(boost::asio::make_work_guard(loop_)), thread_([this, netns] {
          auto fd = open_netns(netns);
          if (!fd || setns(fd->get(), CLONE_NEWNET) != 0) abort();
          loop_.run();
        }) {}
  ~NetnsThread() {
    guard_.reset();
    loop_.stop();
    thread_.join();
  }
  template <class Work>
  auto run(Work work) {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto result = task.get_future();
    boost::asio::post(loop_, [&task] { task(); });
    return result.get();
  }
  boost::asio::io_context& loop() { return loop_; }

 private:
  boost::asio::io_context loop_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
  std::thread thread_;
};

inline Endpoint endpoint(const std::string& text) { return *Endpoint::parse(text); }

// A client's socket, made in whichever namespace the thread is in; blocking with a limit.
class Socket {
 public:
  explicit Socket(int type) : fd_(socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
    const timeval limit{5, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    const int one = 1;
    setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  }
  int fd() const { return fd_.get(); }
  bool bind_to(const Endpoint& local) {
    sockaddr_storage storage{};
    const auto bytes = local.address.to_sockaddr(local.port, storage);
    return bind(fd(), reinterpret_cast<sockaddr*>(&storage), bytes) == 0;
  }
  bool connect_to(const Endpoint& remote) {
    sockaddr_storage storage{};
    const auto bytes = remote.address.to_sockaddr(remote.port, storage);
    return connect(fd(), reinterpret_cast<sockaddr*>(&storage), bytes) == 0;
  }
  std::uint16_t local_port() const {
    sockaddr_storage storage{};
    socklen_t bytes = sizeof storage;
    getsockname(fd(), reinterpret_cast<sockaddr*>(&storage), &bytes);
    return ntohs(reinterpret_cast<sockaddr_in*>(&storage)->sin_port);
  }
  bool say(const std::string& text) {
    return send(fd(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }
  // Exactly `bytes`, or what came before the end, an error or 5 s.
  std::string hear(std::size_t bytes) {
    std::string text(bytes, '\0');
    std::size_t done = 0;
    while (done < bytes) {
      const ssize_t count = recv(fd(), text.data() + done, bytes - done, 0);
      if (count <= 0) break;
      done += static_cast<std::size_t>(count);
    }
    text.resize(done);
    return text;
  }
  // Says `text` and hears it back.
  bool echoes(const std::string& text) { return say(text) && hear(text.size()) == text; }
  bool silent_for(Millis time) {
    pollfd poll_fd{fd(), POLLIN, 0};
    return poll(&poll_fd, 1, static_cast<int>(time.count())) == 0;
  }

 private:
  UniqueFd fd_;
};

// Echoes TCP and UDP on port 80 in a namespace, and can speak first on accepted connections.
class EchoService {
 public:
  explicit EchoService(UniqueFd netns) : netns_(std::move(netns)), thread_([this] { run(); }) {
    ready_.get_future().wait();
  }
  ~EchoService() {
    stop_ = true;
    thread_.join();
  }
  // To all open connections; the next echo comes after it.
  void shout(const std::string& text) {
    std::promise<void> done;
    {
      const std::lock_guard lock(mutex_);
      shout_ = text;
      shouted_ = &done;
    }
    done.get_future().wait();
  }
  std::string netns_file() const {
    return "/proc/" + std::to_string(getpid()) + "/task/" + std::to_string(thread_id_) + "/ns/net";
  }
  std::vector<std::string> peers() const {
    const std::lock_guard lock(mutex_);
    return peers_;
  }

 private:
  void run() {
    if (setns(netns_.get(), CLONE_NEWNET) != 0) abort();
    Socket listener(SOCK_STREAM);
    Socket datagrams(SOCK_DGRAM);
    if (!listener.bind_to(endpoint("0.0.0.0:80")) || listen(listener.fd(), 64) != 0 ||
        !datagrams.bind_to(endpoint("0.0.0.0:80")))
      abort();
    thread_id_ = gettid();
    ready_.set_value();
    std::vector<UniqueFd> connections;
    char buffer[65536];
    while (!stop_) {
      std::vector<pollfd> fds{{listener.fd(), POLLIN, 0}, {datagrams.fd(), POLLIN, 0}};
      for (const auto& connection : connections) fds.push_back({connection.get(), POLLIN, 0});
      poll(fds.data(), fds.size(), 5);
      for (std::size_t i = 2; i < fds.size(); ++i) {
        if (fds[i].revents == 0) continue;
        const ssize_t count = recv(fds[i].fd, buffer, sizeof buffer, 0);
        if (count <= 0) connections[i - 2].reset();
        for (ssize_t done = 0; done < count;)
          if (const ssize_t sent = send(fds[i].fd, buffer + done,
                                        static_cast<std::size_t>(count - done), MSG_NOSIGNAL);
              sent > 0)
            done += sent;
          else
            break;
      }
      std::erase_if(connections, [](const UniqueFd& fd) { return !fd; });
      if (fds[0].revents != 0) accept_one(listener.fd(), connections);
      if (fds[1].revents != 0) echo_datagram(datagrams.fd(), buffer, sizeof buffer);
      const std::lock_guard lock(mutex_);
      if (shouted_ == nullptr) continue;
      for (const auto& connection : connections)
        (void)!send(connection.get(), shout_.data(), shout_.size(), MSG_NOSIGNAL);
      std::exchange(shouted_, nullptr)->set_value();
    }
  }
  void accept_one(int listener, std::vector<UniqueFd>& connections) {
    sockaddr_storage storage{};
    socklen_t bytes = sizeof storage;
    UniqueFd fd(accept4(listener, reinterpret_cast<sockaddr*>(&storage), &bytes, SOCK_CLOEXEC));
    if (!fd) return;
    const std::lock_guard lock(mutex_);
    if (auto peer = Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage)))
      peers_.push_back(peer->to_string());
    connections.push_back(std::move(fd));
  }
  static void echo_datagram(int fd, char* buffer, std::size_t room) {
    sockaddr_storage from{};
    socklen_t bytes = sizeof from;
    const ssize_t count = recvfrom(fd, buffer, room, 0, reinterpret_cast<sockaddr*>(&from), &bytes);
    if (count >= 0)
      (void)!sendto(fd, buffer, static_cast<std::size_t>(count), 0,
                    reinterpret_cast<sockaddr*>(&from), bytes);
  }

  UniqueFd netns_;
  std::atomic<bool> stop_{false};
  std::atomic<int> thread_id_{0};
  mutable std::mutex mutex_;
  std::string shout_;
  std::promise<void>* shouted_ = nullptr;
  std::vector<std::string> peers_;
  std::promise<void> ready_;
  std::thread thread_;
};

// One host: its namespace, and a supervisor's Network on a loop of its own inside it.
class Host {
 public:
  template <class Work>
  auto call(Work work) {
    return thread_->run([&] { return work(*network_); });
  }
  Host(const std::string& name, const std::string& address)
      : name_(prefix() + name),
        address_(*Address::parse(address)),
        id_(KeyPair::generate().id()),
        directory_("/run/" + prefix() + name),
        thread_(std::make_unique<NetnsThread>(name_)) {
    start();
  }
  ~Host() {
    if (!network_) start();
    const auto status = call([](Network& network) { return network.destroy(); });
    EXPECT_TRUE(status) << status.error().message;
    stop();
    thread_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  void start() {
    NetworkConfig config;
    config.supervisor_id = id_;
    config.public_address = address_;
    config.run_directory = directory_;
    config.tunnel_program = std::string(ICON_BIN_DIR) + "/icon-tunnel";
    config.tunnel_secret.fill(static_cast<std::uint8_t>(id_[0]));
    config.hold = limits;
    const auto status = thread_->run([&]() -> Status {
      ICON_TRY(network_, Network::create(thread_->loop(), std::move(config)));
      return {};
    });
    ASSERT_TRUE(status) << status.error().message;
  }
  // As a crash does: nothing in the kernel is touched but what goes with descriptors.
  void stop() {
    thread_->run([&] { network_.reset(); });
  }
  void ok(const std::function<Status(Network&)>& work, const char* what) {
    const auto status = call(work);
    ASSERT_TRUE(status) << name_ << ": " << what << ": " << status.error().message;
  }
  std::uint64_t refused(const std::string& counter) {
    const auto counters = call([](Network& network) { return network.refused_packets(); });
    for (const auto& [name, packets] : counters.value_or(decltype(counters)::value_type{}))
      if (name == counter) return packets;
    return UINT64_MAX;
  }

  const std::string& netns() const { return name_; }
  const std::string& id() const { return id_; }
  const std::string& directory() const { return directory_; }
  Endpoint at(std::uint16_t port) const { return {address_, port}; }
  NetnsThread& thread() { return *thread_; }
  static inline HoldLimits limits{};

 private:
  std::string name_;
  Address address_;
  std::string id_;
  std::string directory_;
  std::unique_ptr<NetnsThread> thread_;
  std::unique_ptr<Network> network_;
};

class World : public ::testing::Test {
 protected:
  void SetUp() override {
    log::init(log::Level::kInfo, "/dev/null");
    for (const char* name : {"client", "router", "a", "b", "c"}) {
      const auto made = ensure_netns(prefix() + name);
      ASSERT_TRUE(made) << made.error().message;
      must(prefix() + name, "ip link set lo up");
    }
    link("client", "198.51.100.1", "198.51.100.2");
    link("a", "192.0.2.1", "192.0.2.2");
    link("b", "192.0.2.5", "192.0.2.6");
    link("c", "192.0.2.9", "192.0.2.10");
    must(prefix() + "router", "echo 1 > /proc/sys/net/ipv4/ip_forward");
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
  void TearDown() override {
    service_.reset();
    client_.reset();
    router_.reset();
    for (auto* host : {&a_, &b_, &c_}) host->reset();
    for (const char* name : {"client", "router", "a", "b", "c"})
      EXPECT_TRUE(remove_netns(prefix() + name));
  }
  static void link(const std::string& name, const std::string& router, const std::string& host) {
    must("", "ip link add ext netns " + prefix() + name + " type veth peer name to-" + name +
                 " netns " + prefix() + "router");
    must(prefix() + "router",
         "ip addr add " + router + "/30 dev to-" + name + "; ip link set to-" + name + " up");
    must(prefix() + name, "ip addr add " + host + "/30 dev ext; ip link set ext up; " +
                              "ip route add default via " + router);
  }

  // Both ends of a tunnel, as two supervisors would agree on it.
  void open_tunnel(Host& one, Host& other) {
    const auto open = [](Host& host, const Host& peer) {
      return host.call([&](Network& network) { return network.open_tunnel(peer.id()); });
    };
    const auto end_one = open(one, other);
    const auto end_other = open(other, one);
    ASSERT_TRUE(end_one && end_other);
    one.ok([&](Network& n) { return n.connect_tunnel(other.id(), *end_other); }, "connect");
    other.ok([&](Network& n) { return n.connect_tunnel(one.id(), *end_one); }, "connect");
  }
  // The ICON starts at `host`, with the echo service in its namespace.
  void start_service(Host& host) {
    host.ok([&](Network& n) { return n.attach(icon_); }, "attach");
    service_netns_ = netns_of(host);
    auto fd = open_netns(service_netns_);
    ASSERT_TRUE(fd);
    // A second name: the first goes with detach().
    kept_ = std::move(*fd);
    auto again = open_netns(service_netns_);
    service_ = std::make_unique<EchoService>(std::move(*again));
  }
  std::string netns_of(Host& host) {
    return host.call([&](Network& n) { return n.netns_name(icon_.icon_id); });
  }
  // What CRIU does with the sockets, done with the cable: `to`'s eth0 replaces the present one in
  // the service's namespace, with the same address, route and neighbour.
  void replug(Host& to) {
    must(netns_of(to), "ip link set eth0 down; ip link set eth0 name moved netns /proc/" +
                           std::to_string(getpid()) + "/fd/" + std::to_string(kept_.get()));
    const std::string address = icon_.overlay.to_string() + "/32";
    Command command;
    command.argv = {"/bin/sh", "-c",
                    "set -e; ip addr del " + address +
                        " dev eth0; ip link set eth0 down; ip link set eth0 name old$(date +%N); "
                        "ip link set moved name eth0; ip addr add " +
                        address +
                        " dev eth0; ip link set eth0 up; ip neigh replace 169.254.1.1 lladdr "
                        "02:1c:0e:fe:01:01 nud permanent dev eth0; "
                        "ip route replace default via 169.254.1.1 dev eth0 onlink"};
    const auto status = in_netns(kept_, [&] { return run_checked_blocking(std::move(command)); });
    ASSERT_TRUE(status) << status.error().message;
    // From now on the service's namespace is the one that `to` knows.
    const std::string path = "/run/netns/" + netns_of(to);
    must("", "umount -l " + path + " && mount --bind " + service_->netns_file() + " " + path);
  }
  // The queue devices of finished moves have gone.
  static void settle(Host& host) {
    must(host.netns(),
         "for i in $(seq 200); do ip -o link | grep -q ' ih' || exit 0; sleep 0.02; done; exit 1");
  }
  IconNetwork icon_at(const std::vector<const Host*>& stub_hosts) const {
    IconNetwork icon = icon_;
    for (const auto* host : stub_hosts) icon.stub_hosts.push_back(host->id());
    if (!stub_hosts.empty()) icon.previous_host = stub_hosts.front()->id();
    return icon;
  }
  // A whole move; `stub_hosts`: who holds stubs then, the source first.
  void move(
      Host& from, Host& to, const std::vector<const Host*>& stub_hosts, StubTarget target,
      const std::function<void()>& while_held = [] {}) {
    open_tunnel(from, to);
    target.peer_id = to.id();
    to.ok([&](Network& n) { return n.attach_held(icon_at(stub_hosts)); }, "attach_held");
    from.ok([&](Network& n) { return n.hold(icon_.icon_id); }, "hold");
    while_held();
    replug(to);
    from.ok([&](Network& n) { return n.divert(icon_.icon_id, target); }, "divert");
    to.ok([&](Network& n) { return n.release(icon_.icon_id); }, "release");
    from.ok([&](Network& n) { return n.detach(icon_.icon_id); }, "detach");
  }
  std::unique_ptr<Socket> connect_client(const Endpoint& to, std::uint16_t local_port = 0) {
    return client_->run([&]() -> std::unique_ptr<Socket> {
      auto socket = std::make_unique<Socket>(SOCK_STREAM);
      if (local_port != 0 && !socket->bind_to({Address{}, local_port})) return nullptr;
      if (!socket->connect_to(to)) return nullptr;
      return socket;
    });
  }
  std::unique_ptr<Socket> udp_client(const Endpoint& to) {
    return client_->run([&] {
      auto socket = std::make_unique<Socket>(SOCK_DGRAM);
      (void)socket->connect_to(to);
      return socket;
    });
  }
  IconState state(Host& host) {
    const auto state = host.call([&](Network& n) { return n.icon_state(icon_.icon_id); });
    return state.value_or(IconState{});
  }

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

}  // namespace icon::net::test
