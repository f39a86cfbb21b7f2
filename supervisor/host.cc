#include "supervisor/host.h"

#include <boost/json/serialize.hpp>
#include <utility>

#include "base/file.h"
#include "supervisor/continuity/continuity.h"

namespace icon::supervisor {
namespace {

// Some 40,000 leases a file.
constexpr std::int64_t kDiaryBytesMax = 256 << 20;
constexpr std::int64_t kDiaryEntriesMax = 200'000;
constexpr std::string_view kHostJoinKey = "host_join";

}  // namespace

Host::Host(IoContext& loop_in, Clock& clock_in, Config config_in, KeyPair key_in)
    : config(std::move(config_in)),
      key(std::move(key_in)),
      id(key.id()),
      clock(clock_in),
      loop(loop_in),
      started_ms(clock_in.utc_ms()),
      events(loop_in) {}

Host::~Host() = default;

Status Host::open_diary() {
  namespace life = budget::ledger;
  ICON_TRY(
      auto opened,
      life::Diary::open({config.state_dir, "host-" + id, kDiaryBytesMax, kDiaryEntriesMax}, key));
  diary = std::make_unique<life::Diary>(std::move(opened));
  ICON_TRY(auto text, journal->value(std::string(kHostJoinKey)));
  if (!text) {
    const life::Occasion now{id, key.public_key(), started_ms, started_ms};
    ICON_TRY(const auto document, wire::seal(key, life::host_joins(now, key.public_key())));
    text = boost::json::serialize(document.to_json());
    ICON_CHECK(journal->put_value(std::string(kHostJoinKey), *text));
  }
  ICON_TRY(const auto document, wire::parse_envelope(*text));
  host_join = document.to_json();
  if (diary->knows(life::host_entity(key.public_key()))) return {};
  return diary->record(document, started_ms);
}

Result<std::unique_ptr<Host>> Host::create(IoContext& loop, Clock& clock, Config config) {
  ICON_CHECK(make_directories(config.state_dir, 0700));
  ICON_CHECK(make_directories(config.runtime_dir, 0755));
  ICON_TRY(auto key, KeyPair::load(config.key_file, /*create=*/true));
  auto host = std::make_unique<Host>(loop, clock, std::move(config), std::move(key));
  ICON_TRY(host->journal, Journal::open(host->config.state_dir + "/journal.db"));
  ICON_CHECK(host->open_diary());
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

  host->market =
      std::make_unique<Market>(host->config, host->key, clock, *host->journal, host->diary.get());
  ICON_CHECK(host->market->record_missed());
  host->sales = std::make_unique<Sales>(host->config, host->key, clock, *host->journal,
                                        *host->market, host->diary.get());
  ICON_CHECK(host->sales->load());
  host->asks = std::make_unique<Asks>(host->config, host->key, clock, *host->journal, *host->market,
                                      host->diary.get());
  ICON_CHECK(host->asks->load());
  host->pings = std::make_unique<Pings>(host->config, host->key, clock);
  ICON_TRY(host->peers, PeerClient::create(loop, host->key));
  host->icons = std::make_unique<Icons>(*host);
  return host;
}

}  // namespace icon::supervisor
