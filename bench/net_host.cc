// One host for the benchmarks of the data path: the supervisor's real Network, in the namespace
// this program is started in, told what to do by lines on standard input. Each line is answered by
// one line: "ok <microseconds> [text]" or "error <message>".
//
//   open PEER                              a tunnel to PEER: the interface `it<PEER>` that the
//                                          benchmark has made, a plain link
//   attach ICON OVERLAY PORTS HOSTS        PORTS: tcp:PUBLIC:INSIDE,.. ; HOSTS: PEER,.. or -
//   attach_held ICON OVERLAY PORTS HOSTS
//   stub ICON OVERLAY PORTS PEER           attach_stub()
//   hold | unhold | release | detach | remove_stub ICON
//   divert | repoint ICON PEER
//   netns ICON | memory | forwarding | destroy
//
// A tunnel is a plain link here because the question is what forwarding costs; what the tunnel
// costs is another benchmark's question.
#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iostream>
#include <sstream>

#include "base/log.h"
#include "supervisor/net/names.h"
#include "supervisor/net/network_impl.h"

namespace icon::net {
namespace {

class PlainLinks final : public TunnelDevices {
 public:
  Result<TunnelStatus> open(const std::string&, const TunnelKey&) override {
    TunnelStatus status;
    status.listen_port = 1;
    status.public_key = std::string(64, '0');
    return status;
  }
  Status set_peer(const std::string&, const std::string&, const Endpoint&) override { return {}; }
  Result<TunnelStatus> status(const std::string&) override { return TunnelStatus{}; }
  Status close(const std::string&) override { return {}; }
};

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, at);)
    if (!part.empty() && part != "-") parts.push_back(part);
  return parts;
}

Result<IconNetwork> read_icon(std::istream& words) {
  IconNetwork icon;
  std::string overlay;
  std::string ports;
  words >> icon.icon_id >> overlay >> ports;
  ICON_TRY(icon.overlay, Address::parse(overlay));
  for (const auto& text : split(ports, ',')) {
    const auto parts = split(text, ':');
    if (parts.size() != 3) return fail(Code::kInvalid, "a port is tcp:PUBLIC:INSIDE");
    icon.ports.push_back({parts[0] == "udp" ? Protocol::kUdp : Protocol::kTcp,
                          static_cast<std::uint16_t>(std::stoul(parts[2])),
                          static_cast<std::uint16_t>(std::stoul(parts[1]))});
  }
  return icon;
}

// Of this process, in KiB.
std::string resident() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return line.substr(6);
  return "?";
}

Result<std::string> run(Network& network, std::istream& words) {
  std::string verb;
  std::string icon_id;
  words >> verb;
  const auto done = [](Status status) -> Result<std::string> {
    if (!status) return fail(status.error());
    return std::string();
  };
  if (verb == "memory") return resident();
  if (verb == "destroy") return done(network.destroy());
  if (verb == "forwarding") {
    const auto state = network.forwarding();
    return fmt::format("{} {} {}", state.fast ? "bpf" : "nftables", state.fast_packets,
                       state.why_not);
  }
  if (verb == "attach" || verb == "attach_held" || verb == "stub") {
    ICON_TRY(IconNetwork icon, read_icon(words));
    std::string hosts;
    words >> hosts;
    if (verb == "stub") return done(network.attach_stub(icon, {hosts, StubMode::kForward, 0}));
    icon.stub_hosts = split(hosts, ',');
    if (!icon.stub_hosts.empty()) icon.previous_host = icon.stub_hosts.front();
    return done(verb == "attach" ? network.attach(icon) : network.attach_held(icon));
  }
  words >> icon_id;
  if (verb == "open") {
    ICON_TRY(const TunnelEnd end, network.open_tunnel(icon_id));
    return end.public_key;
  }
  if (verb == "netns") return network.netns_name(icon_id);
  if (verb == "hold") return done(network.hold(icon_id));
  if (verb == "unhold") return done(network.unhold(icon_id));
  if (verb == "release") return done(network.release(icon_id));
  if (verb == "detach") return done(network.detach(icon_id));
  if (verb == "remove_stub") return done(network.remove_stub(icon_id));
  std::string peer;
  words >> peer;
  if (verb == "divert") return done(network.divert(icon_id, {peer, StubMode::kForward, 0}));
  if (verb == "repoint") return done(network.repoint(icon_id, {peer, StubMode::kForward, 0}));
  return fail(Code::kInvalid, "no such order: " + verb);
}

void answer(Network& network, const std::string& line) {
  std::istringstream words(line);
  const auto begin = std::chrono::steady_clock::now();
  const auto result = run(network, words);
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(
                        std::chrono::steady_clock::now() - begin)
                        .count();
  if (result)
    std::cout << "ok " << took << ' ' << *result << std::endl;
  else
    std::cout << "error " << result.error().message << std::endl;
}

int serve(const std::string& id, const std::string& address, const std::string& mode) {
  IoContext loop;
  NetworkConfig config;
  config.supervisor_id = id;
  config.public_address = *Address::parse(address);
  config.run_directory = "/run/icon-bench-" + std::to_string(getpid());
  config.forwarding = mode == "bpf" ? Forwarding::kBpf : Forwarding::kNftables;
  auto nft = Nft::open();
  auto routes = RouteSocket::open();
  if (!nft || !routes) return 1;
  NetworkImpl network(loop, std::move(config), std::move(*nft), std::move(*routes),
                      std::make_unique<PlainLinks>());
  if (const auto status = network.load(); !status) {
    std::cout << "error " << status.error().message << std::endl;
    return 1;
  }
  std::cout << "ok 0 ready" << std::endl;
  // The hold queue lives on the loop; it turns while we wait for orders.
  boost::asio::posix::stream_descriptor input(loop, dup(0));
  boost::asio::streambuf buffer;
  std::function<void()> next = [&] {
    boost::asio::async_read_until(input, buffer, '\n',
                                  [&](boost::system::error_code error, std::size_t) {
                                    if (error) return loop.stop();
                                    std::istream stream(&buffer);
                                    std::string line;
                                    std::getline(stream, line);
                                    answer(network, line);
                                    next();
                                  });
  };
  next();
  loop.run();
  const auto status = network.destroy();
  return status ? 0 : 1;
}

}  // namespace
}  // namespace icon::net

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: icon-bench-net-host SUPERVISOR-ID PUBLIC-ADDRESS nftables|bpf\n";
    return 2;
  }
  // A signal to the whole group is for the benchmark: this process ends with its input, and removes
  // first.
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGTERM, SIG_IGN);
  icon::log::init(icon::log::Level::kWarn, "/dev/stderr");
  return icon::net::serve(argv[1], argv[2], argv[3]);
}
