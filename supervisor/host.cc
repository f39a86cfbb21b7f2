#include "supervisor/host.h"

#include <utility>

#include "base/file.h"

namespace icon::supervisor {

Host::Host(IoContext& loop_in, Clock& clock_in, Config config_in, KeyPair key_in)
    : config(std::move(config_in)),
      key(std::move(key_in)),
      id(key.id()),
      clock(clock_in),
      loop(loop_in),
      started_ms(clock_in.utc_ms()),
      events(loop_in) {}

Host::~Host() = default;

Result<std::unique_ptr<Host>> Host::create(IoContext& loop, Clock& clock, Config config) {
  ICON_CHECK(make_directories(config.state_dir, 0700));
  ICON_CHECK(make_directories(config.runtime_dir, 0755));
  ICON_TRY(auto key, KeyPair::load(config.key_file, /*create=*/true));
  auto host = std::make_unique<Host>(loop, clock, std::move(config), std::move(key));
  ICON_TRY(host->journal, Journal::open(host->config.state_dir + "/journal.db"));
  host->containers = std::make_unique<Containers>(loop, host->config, host->id);

  net::NetworkConfig network;
  network.supervisor_id = host->id;
  network.public_address = host->config.public_address;
  network.public_address6 = host->config.public_address6;
  network.external_interface = host->config.external_interface;
  network.forwarding = host->config.forwarding;
  network.run_directory = host->config.runtime_dir + "/net";
  network.tunnel_program = host->config.tunnel_binary;
  // A lab's supervisors, and a second one on a machine, keep their sockets to themselves.
  network.publish_tunnels = host->config.runtime_dir == Config{}.runtime_dir;
  network.tunnel_bits_per_second = static_cast<std::uint64_t>(host->config.tunnel_bps);
  network.tunnel_packets_per_second =
      static_cast<std::uint64_t>(host->config.tunnel_packets_per_second);
  network.tunnel_secret = net::tunnel_secret_from_seed(host->key.seed());
  ICON_CHECK(make_directories(network.run_directory, 0700));
  ICON_TRY(host->network, net::Network::create(loop, std::move(network)));

  host->market = std::make_unique<Market>(host->config, host->key, clock, *host->journal);
  host->pings = std::make_unique<Pings>(host->config, host->key, clock);
  ICON_TRY(host->peers, PeerClient::create(loop, host->key));
  host->icons = std::make_unique<Icons>(*host);
  return host;
}

}  // namespace icon::supervisor
