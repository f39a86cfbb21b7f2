// The supervisor's configuration: one YAML file, read once, every key checked. A key that is not
// known is an error: a typing mistake must not silently become a default.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/json.h"
#include "base/log.h"
#include "base/result.h"
#include "supervisor/net/network.h"
#include "wire/documents.h"

namespace icon::supervisor {

inline constexpr std::uint16_t kDefaultApiPort = 7946;

// A linear price list, micro-credits. price_of() rounds up.
struct Prices {
  wire::MicroCredits slot_ucredits = 0;         // once per slot
  wire::MicroCredits cpu_second_ucredits = 0;   // per core and second
  wire::MicroCredits gb_second_ucredits = 0;    // per 10^9 bytes of memory and second
  wire::MicroCredits gbps_second_ucredits = 0;  // per 10^9 bit/s of bandwidth and second

  // Errors: kLimit when the sum is beyond kMicroCreditsMax.
  Result<wire::MicroCredits> price_of(const wire::Resources& resources,
                                      std::int64_t slot_seconds) const;
};

// A provider that the operator names, beside what the DNS says. Handed to agents by GET /v1/self.
struct ConfiguredProvider {
  std::string name;
  PublicKey id;
  Endpoint api;
  std::string domain;    // "" when none
  std::string location;  // free text, "" when none
  json::Object to_json() const;
};

// Advertising in a DHT; without a socket: not at all.
struct DhtConfig {
  std::string socket;            // of icon-dht
  std::vector<Prefix> networks;  // to be found for; empty: those of our own addresses
};

// Where an exchange is, and whose.
struct ExchangeAddress {
  PublicKey id;
  Endpoint api;
};

// Scarce slots that go to the highest sealed bids (supervisor/sales.h), not at the posted price.
struct SealedBids {
  std::int64_t slots = 0;     // set aside for them; 0: none
  wire::Resources resources;  // of each
  std::int64_t slot_seconds = 0;
  std::int64_t every_ms = 60'000;  // between two calls
  std::int64_t bid_ms = 10'000;    // to commit
  std::int64_t reveal_ms = 10'000;
  wire::MicroCredits reserve_ucredits = 0;
  wire::MicroCredits deposit_ucredits = 0;
  // Where they are sold in a double auction instead, beside those of other providers; the reserve
  // is what we ask, and the intervals are the exchange's.
  std::optional<ExchangeAddress> exchange;
};

// A double auction that this host conducts for providers in one place (supervisor/sales.h).
struct Exchange {
  wire::Resources unit;           // of the grid
  std::int64_t slot_seconds = 0;  // its window; 0: there is no exchange here
  std::int64_t every_ms = 60'000;
  std::int64_t bid_ms = 10'000;
  std::int64_t reveal_ms = 10'000;
  wire::MicroCredits deposit_ucredits = 0;
  std::vector<PublicKey> sellers;  // nobody else may sell
};

// How an ICON goes on when it moves between hosts of one owner: docs/continuity.md.
enum class ContinuityMode { kSingle, kCluster, kSwarm };
inline constexpr std::int64_t kContinuitySecondsMin = 10;

struct ContinuityConfig {
  ContinuityMode mode = ContinuityMode::kSingle;
  std::vector<ConfiguredProvider> siblings;  // the owner's other hosts
  // What one sibling may have kept here, besides room, which the capacity bounds.
  std::int64_t standbys_max = 16;
  std::int64_t staged_bytes_max = std::int64_t{8} << 30;
  std::int64_t contract_seconds = 3600;
  std::int64_t standby_seconds = 600;
  std::vector<std::string> etcd_endpoints;  // swarm
  std::string etcd_ca_file;
  std::string etcd_certificate_file;
  std::string etcd_key_file;
  std::string swarm_name = "swarm";
};

struct Config {
  std::string provider_name;
  Address public_address;                  // what users dial; also the tunnels' outer address
  std::optional<Address> public_address6;  // the same for users with IPv6
  Endpoint listen;                         // TLS
  Endpoint api;  // what offers name; public_address and listen's port unless given
  std::string socket = "/run/icon/supervisor.sock";
  std::string state_dir = "/var/lib/icon";
  std::string runtime_dir = "/run/icon";
  std::string key_file;  // <state_dir>/host.key
  // Our own programs; empty until complete_programs().
  std::string agent_binary;
  std::string stub_binary;
  std::string tunnel_binary;
  std::string freeze_guard_binary;
  std::string criu_hold_binary;
  std::string criu;  // else what `make deps` built, else the one in PATH
  std::string runc = "runc";
  std::string runc_binary;  // icon-runc: what Docker calls
  std::string docker_socket = "/run/docker.sock";
  std::string external_interface;  // towards the world; "" = whichever the routes say
  net::Forwarding forwarding = net::Forwarding::kAuto;
  // What one peer's tunnel may bring in; 0: any amount.
  std::int64_t tunnel_bps = 0;
  std::int64_t tunnel_packets_per_second = 0;
  // How long a service may stand still for the rest of its memory.
  std::int64_t gap_max_ms = 10'000;
  // How long a source may send nothing. A stream is silent while its source dumps, a minute at
  // most.
  std::int64_t silence_max_ms = 90'000;
  std::vector<Address> resolvers;  // for the containers' resolv.conf
  wire::Resources capacity;
  Prices prices;
  SealedBids sealed_bids;
  Exchange exchange;
  std::vector<ConfiguredProvider> providers;
  DhtConfig dht;
  ContinuityConfig continuity;
  bool accept_leases = true;
  std::string country, kind;  // what its offers claim; "" = nothing
  // Round trips from here for ICONs that think of coming; also to private addresses.
  bool ping_api = true;
  bool ping_private_targets = false;
  log::Level log_level = log::Level::kInfo;
  std::string log_path;  // "" = standard error
};

// Errors: kInvalid with the key's path and line; kNotFound, kLimit.
Result<Config> parse_config(const std::string& yaml_text);
Result<Config> load_config(const std::string& path);
// Our own programs that the file does not name are those beside this one, in `program_dir`.
void complete_programs(Config& config, const std::string& program_dir);

}  // namespace icon::supervisor
