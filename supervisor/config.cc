#include "supervisor/config.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>

#include "base/file.h"
#include "supervisor/config_section.h"
#include "wire/advertisement.h"
#include "wire/auction.h"
#include "wire/continuity.h"
#include "wire/residence.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kConfigBytesMax = 1 << 20;
constexpr std::size_t kProvidersMax = 1024;
constexpr std::size_t kResolversMax = 8;
constexpr std::size_t kSiblingsMax = 64;
constexpr std::size_t kEtcdNodesMax = 16;
constexpr std::int64_t kCapacityMax = std::int64_t{1} << 50;
constexpr std::int64_t kSealedSlotsMax = 1'000;
constexpr std::size_t kExchangeSellersMax = 64;
constexpr std::int64_t kSaleMsMax = 24LL * 3600 * 1000;
constexpr std::int64_t kTunnelRateMax = 10'000'000'000'000;
constexpr std::int64_t kGapMaxMs = 3'600'000;
constexpr std::int64_t kSilenceMinMs = 1'000;
constexpr std::int64_t kSilenceMaxMs = 600'000;

// Only counts documents and notes where the last one begins.
struct DocumentCounter final : YAML::EventHandler {
  void OnDocumentStart(const YAML::Mark& mark) override {
    ++documents;
    line = mark.line + 1;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

  int documents = 0;
  int line = 0;
};

// A bracket too many, or "---", ends the document: what follows would silently be ignored.
Status check_one_document(const std::string& text) {
  DocumentCounter counter;
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  while (counter.documents < 2 && parser.HandleNextDocument(counter)) {
  }
  if (counter.documents < 2) return {};
  return fail(Code::kInvalid, "line " + std::to_string(counter.line) +
                                  ": a second document begins here: look for '---' or a bracket "
                                  "too many");
}

Status read_capacity(Section& root, wire::Resources& capacity) {
  if (!root.has("capacity")) return {};
  const auto node = root.take("capacity");
  ICON_TRY(auto section, Section::of(node, "capacity"));
  ICON_CHECK(section.number("cpu_millis", kCapacityMax, capacity.cpu_millis));
  ICON_CHECK(section.number("memory_bytes", kCapacityMax, capacity.memory_bytes));
  ICON_CHECK(section.number("bandwidth_bps", kCapacityMax, capacity.bandwidth_bps));
  return section.finish();
}

Status read_prices(Section& root, Prices& prices) {
  if (!root.has("prices")) return {};
  const auto node = root.take("prices");
  ICON_TRY(auto section, Section::of(node, "prices"));
  const auto max = wire::kMicroCreditsMax;
  ICON_CHECK(section.number("slot_ucredits", max, prices.slot_ucredits));
  ICON_CHECK(section.number("cpu_second_ucredits", max, prices.cpu_second_ucredits));
  ICON_CHECK(section.number("gb_second_ucredits", max, prices.gb_second_ucredits));
  ICON_CHECK(section.number("gbps_second_ucredits", max, prices.gbps_second_ucredits));
  return section.finish();
}

Result<PublicKey> parse_id(const std::string& text) { return PublicKey::from_id(text); }
Result<Endpoint> parse_endpoint(const std::string& text) { return Endpoint::parse(text); }

Status read_exchange_address(Section& bids, std::optional<ExchangeAddress>& exchange) {
  if (!bids.has("exchange")) return {};
  const auto node = bids.take("exchange");
  ICON_TRY(auto section, Section::of(node, "sealed_bids.exchange"));
  ICON_CHECK(section.require("id"));
  ICON_CHECK(section.require("api"));
  exchange.emplace();
  ICON_CHECK(section.parsed("id", exchange->id, parse_id));
  ICON_CHECK(section.parsed("api", exchange->api, parse_endpoint));
  return section.finish();
}

Status read_exchange(Section& root, Exchange& exchange) {
  if (!root.has("exchange")) return {};
  const auto node = root.take("exchange");
  ICON_TRY(auto section, Section::of(node, "exchange"));
  for (const char* key : {"cpu_millis", "memory_bytes", "bandwidth_bps", "slot_seconds", "sellers"})
    ICON_CHECK(section.require(key));
  ICON_CHECK(section.number("cpu_millis", kCapacityMax, exchange.unit.cpu_millis));
  ICON_CHECK(section.number("memory_bytes", kCapacityMax, exchange.unit.memory_bytes));
  ICON_CHECK(section.number("bandwidth_bps", kCapacityMax, exchange.unit.bandwidth_bps));
  ICON_CHECK(section.number("slot_seconds", wire::kSlotSecondsMax, exchange.slot_seconds));
  ICON_CHECK(section.number("every_ms", kSaleMsMax, exchange.every_ms));
  ICON_CHECK(section.number("bid_ms", kSaleMsMax, exchange.bid_ms));
  ICON_CHECK(section.number("reveal_ms", kSaleMsMax, exchange.reveal_ms));
  ICON_CHECK(
      section.number("deposit_ucredits", wire::kAuctionDepositMax, exchange.deposit_ucredits));
  const auto list = section.take("sellers");
  if (!list.IsSequence() || list.size() == 0 || list.size() > kExchangeSellersMax)
    return fail(Code::kInvalid, Section::where(list, "exchange.sellers") +
                                    "must be a list of 1 to " +
                                    std::to_string(kExchangeSellersMax) + " provider ids");
  for (const auto& item : list) {
    const auto id = parse_id(item.IsScalar() ? item.Scalar() : std::string());
    if (!id)
      return fail(Code::kInvalid, Section::where(item, "exchange.sellers") + id.error().message);
    exchange.sellers.push_back(*id);
  }
  ICON_CHECK(section.finish());
  if (exchange.unit.cpu_millis < 1 || exchange.unit.memory_bytes < 1 ||
      exchange.unit.bandwidth_bps < 1 || exchange.slot_seconds < 1 || exchange.bid_ms < 1 ||
      exchange.reveal_ms < 1)
    return fail(Code::kInvalid,
                "exchange: the unit, slot_seconds, bid_ms and reveal_ms are at least 1");
  return {};
}

Status read_sealed_bids(Section& root, Config& config) {
  if (!root.has("sealed_bids")) return {};
  const auto node = root.take("sealed_bids");
  ICON_TRY(auto section, Section::of(node, "sealed_bids"));
  auto& bids = config.sealed_bids;
  ICON_CHECK(section.number("slots", kSealedSlotsMax, bids.slots));
  ICON_CHECK(section.number("cpu_millis", kCapacityMax, bids.resources.cpu_millis));
  ICON_CHECK(section.number("memory_bytes", kCapacityMax, bids.resources.memory_bytes));
  ICON_CHECK(section.number("bandwidth_bps", kCapacityMax, bids.resources.bandwidth_bps));
  ICON_CHECK(section.number("slot_seconds", wire::kSlotSecondsMax, bids.slot_seconds));
  ICON_CHECK(section.number("every_ms", kSaleMsMax, bids.every_ms));
  ICON_CHECK(section.number("bid_ms", kSaleMsMax, bids.bid_ms));
  ICON_CHECK(section.number("reveal_ms", kSaleMsMax, bids.reveal_ms));
  ICON_CHECK(section.number("reserve_ucredits", wire::kMicroCreditsMax, bids.reserve_ucredits));
  ICON_CHECK(section.number("deposit_ucredits", wire::kAuctionDepositMax, bids.deposit_ucredits));
  ICON_CHECK(read_exchange_address(section, bids.exchange));
  ICON_CHECK(section.finish());
  if (bids.slots == 0) return {};
  if (bids.slot_seconds < 1 || bids.bid_ms < 1 || bids.reveal_ms < 1)
    return fail(Code::kInvalid, "sealed_bids: slot_seconds, bid_ms and reveal_ms are at least 1");
  for (std::int64_t i = 1; i <= bids.slots; ++i) {
    const wire::Resources all{bids.resources.cpu_millis * i, bids.resources.memory_bytes * i,
                              bids.resources.bandwidth_bps * i};
    if (!config.capacity.covers(all))
      return fail(Code::kInvalid, "sealed_bids: the slots are more than the host's capacity");
  }
  return {};
}

Result<ConfiguredProvider> read_provider(const YAML::Node& node, const std::string& path) {
  ConfiguredProvider provider;
  ICON_TRY(auto section, Section::of(node, path));
  ICON_CHECK(section.require("name"));
  ICON_CHECK(section.require("id"));
  ICON_CHECK(section.require("api"));
  ICON_CHECK(section.text("name", provider.name));
  ICON_CHECK(section.parsed("id", provider.id, parse_id));
  ICON_CHECK(section.parsed("api", provider.api, parse_endpoint));
  ICON_CHECK(section.text("domain", provider.domain));
  ICON_CHECK(section.text("location", provider.location));
  ICON_CHECK(section.finish());
  return provider;
}

Status read_provider_list(Section& root, const char* key, std::size_t count_max,
                          std::vector<ConfiguredProvider>& providers) {
  if (!root.has(key)) return {};
  const auto node = root.take(key);
  if (!node.IsSequence() || node.size() > count_max)
    return fail(Code::kInvalid, Section::where(node, root.path_of(key)) +
                                    "must be a list of at most " + std::to_string(count_max));
  for (std::size_t i = 0; i < node.size(); ++i) {
    ICON_TRY(auto provider,
             read_provider(node[i], root.path_of(key) + "[" + std::to_string(i) + "]"));
    providers.push_back(std::move(provider));
  }
  return {};
}

Status read_etcd(Section& section, ContinuityConfig& continuity) {
  if (!section.has("etcd")) return {};
  const auto node = section.take("etcd");
  ICON_TRY(auto etcd, Section::of(node, "continuity.etcd"));
  ICON_CHECK(etcd.require("endpoints"));
  const auto endpoints = etcd.take("endpoints");
  if (!endpoints.IsSequence() || endpoints.size() == 0 || endpoints.size() > kEtcdNodesMax)
    return fail(Code::kInvalid, Section::where(endpoints, "continuity.etcd.endpoints") +
                                    "must be a list of 1 to " + std::to_string(kEtcdNodesMax));
  for (const auto& item : endpoints) {
    if (!item.IsScalar() || !item.Scalar().starts_with("http"))
      return fail(Code::kInvalid, Section::where(item, "continuity.etcd.endpoints") +
                                      "must be like http://192.0.2.1:2379");
    continuity.etcd_endpoints.push_back(item.Scalar());
  }
  ICON_CHECK(etcd.text("ca_file", continuity.etcd_ca_file));
  ICON_CHECK(etcd.text("certificate_file", continuity.etcd_certificate_file));
  ICON_CHECK(etcd.text("key_file", continuity.etcd_key_file));
  ICON_CHECK(etcd.text("name", continuity.swarm_name));
  return etcd.finish();
}

Status read_continuity(Section& root, ContinuityConfig& continuity) {
  if (!root.has("continuity")) return {};
  const auto node = root.take("continuity");
  ICON_TRY(auto section, Section::of(node, "continuity"));
  ICON_CHECK(section.parsed("mode", continuity.mode,
                            [](const std::string& text) -> Result<ContinuityMode> {
                              if (text == "single") return ContinuityMode::kSingle;
                              if (text == "cluster") return ContinuityMode::kCluster;
                              if (text == "swarm") return ContinuityMode::kSwarm;
                              return fail(Code::kInvalid, "must be single, cluster or swarm");
                            }));
  ICON_CHECK(read_provider_list(section, "siblings", kSiblingsMax, continuity.siblings));
  ICON_CHECK(section.number("standbys_max", wire::kStandbysMax, continuity.standbys_max));
  ICON_CHECK(
      section.number("staged_bytes_max", wire::kStagedBytesMax, continuity.staged_bytes_max));
  ICON_CHECK(
      section.number("contract_seconds", wire::kContractSecondsMax, continuity.contract_seconds));
  ICON_CHECK(
      section.number("standby_seconds", wire::kContractSecondsMax, continuity.standby_seconds));
  ICON_CHECK(read_etcd(section, continuity));
  ICON_CHECK(section.finish());
  if (continuity.standbys_max == 0 || continuity.contract_seconds < kContinuitySecondsMin ||
      continuity.standby_seconds < kContinuitySecondsMin)
    return fail(Code::kInvalid, Section::where(node, "continuity") +
                                    "standbys_max must be at least 1, the seconds at least " +
                                    std::to_string(kContinuitySecondsMin));
  if (continuity.mode != ContinuityMode::kSingle && continuity.siblings.empty())
    return fail(Code::kInvalid, Section::where(node, "continuity.siblings") + "is missing");
  if (continuity.mode == ContinuityMode::kSwarm && continuity.etcd_endpoints.empty())
    return fail(Code::kInvalid, Section::where(node, "continuity.etcd") + "is missing");
  return {};
}

Status read_resolvers(Section& root, std::vector<Address>& resolvers) {
  if (!root.has("resolvers")) return {};
  const auto node = root.take("resolvers");
  if (!node.IsSequence() || node.size() > kResolversMax)
    return fail(Code::kInvalid, Section::where(node, "resolvers") + "must be a list of at most " +
                                    std::to_string(kResolversMax) + " addresses");
  for (const auto& item : node) {
    auto address = Address::parse(item.IsScalar() ? item.Scalar() : std::string());
    if (!address)
      return fail(Code::kInvalid, Section::where(item, "resolvers") + address.error().message);
    resolvers.push_back(*address);
  }
  return {};
}

Status check_absolute(const std::string& key, const std::string& path) {
  if (!path.empty() && path.front() == '/') return {};
  return fail(Code::kInvalid, "'" + key + "': must be an absolute path");
}

Status read_dht(Section& root, DhtConfig& dht) {
  if (!root.has("dht")) return {};
  const auto node = root.take("dht");
  ICON_TRY(auto section, Section::of(node, "dht"));
  ICON_CHECK(section.require("socket"));
  ICON_CHECK(section.text("socket", dht.socket));
  ICON_CHECK(check_absolute("dht.socket", dht.socket));
  if (section.has("networks")) {
    const auto list = section.take("networks");
    if (!list.IsSequence() || list.size() > wire::kAdvertisedNetworksMax)
      return fail(Code::kInvalid, Section::where(list, "dht.networks") +
                                      "must be a list of at most " +
                                      std::to_string(wire::kAdvertisedNetworksMax) + " networks");
    for (const auto& item : list) {
      auto network = Prefix::parse(item.IsScalar() ? item.Scalar() : std::string());
      if (!network)
        return fail(Code::kInvalid, Section::where(item, "dht.networks") + network.error().message);
      const auto sought = wire::advertised_networks(network->address);
      if (std::find(sought.begin(), sought.end(), *network) == sought.end())
        return fail(Code::kInvalid, Section::where(item, "dht.networks") + network->to_string() +
                                        " is a size that nobody looks for: write a /24 or /16, or "
                                        "with IPv6 a /48 or /32");
      dht.networks.push_back(*network);
    }
  }
  return section.finish();
}

Status read_log(Section& root, Config& config) {
  if (!root.has("log")) return {};
  const auto node = root.take("log");
  ICON_TRY(auto section, Section::of(node, "log"));
  ICON_CHECK(section.text("path", config.log_path));
  ICON_CHECK(
      section.parsed("level", config.log_level, [](const std::string& text) -> Result<log::Level> {
        if (text == "debug") return log::Level::kDebug;
        if (text == "info") return log::Level::kInfo;
        if (text == "warn") return log::Level::kWarn;
        if (text == "error") return log::Level::kError;
        return fail(Code::kInvalid, "must be debug, info, warn or error");
      }));
  return section.finish();
}

Status read_programs(Section& root, Config& config) {
  ICON_CHECK(root.text("agent_binary", config.agent_binary));
  ICON_CHECK(root.text("stub_binary", config.stub_binary));
  ICON_CHECK(root.text("tunnel_binary", config.tunnel_binary));
  ICON_CHECK(root.text("freeze_guard_binary", config.freeze_guard_binary));
  ICON_CHECK(root.text("criu_hold_binary", config.criu_hold_binary));
  ICON_CHECK(root.text("runc_binary", config.runc_binary));
  ICON_CHECK(root.text("docker_socket", config.docker_socket));
  ICON_CHECK(root.text("criu", config.criu));
  return root.text("runc", config.runc);
}

Result<Config> read_root(const YAML::Node& node) {
  Config config;
  ICON_TRY(auto root, Section::of(node, ""));
  ICON_CHECK(root.require("provider_name"));
  ICON_CHECK(root.require("public_address"));
  ICON_CHECK(root.text("provider_name", config.provider_name));
  const auto endpoint = [](const std::string& text) { return Endpoint::parse(text); };
  const auto address = [](const std::string& text) { return Address::parse(text); };
  ICON_CHECK(root.parsed("public_address", config.public_address, address));
  ICON_CHECK(root.parsed("public_address6", config.public_address6,
                         [](const std::string& text) -> Result<std::optional<Address>> {
                           ICON_TRY(Address parsed, Address::parse(text));
                           if (parsed.is_v4()) return fail(Code::kInvalid, "must be IPv6");
                           return parsed;
                         }));
  config.listen = {Address(), kDefaultApiPort};
  ICON_CHECK(root.parsed("listen", config.listen, endpoint));
  config.api = {config.public_address, config.listen.port};
  ICON_CHECK(root.parsed("api", config.api, endpoint));
  ICON_CHECK(root.text("socket", config.socket));
  ICON_CHECK(root.text("state_dir", config.state_dir));
  ICON_CHECK(root.text("runtime_dir", config.runtime_dir));
  config.key_file = config.state_dir + "/host.key";
  ICON_CHECK(root.text("key_file", config.key_file));
  ICON_CHECK(root.text("external_interface", config.external_interface));
  ICON_CHECK(root.parsed("forwarding", config.forwarding,
                         [](const std::string& text) -> Result<net::Forwarding> {
                           if (text == "auto") return net::Forwarding::kAuto;
                           if (text == "nftables") return net::Forwarding::kNftables;
                           if (text == "bpf") return net::Forwarding::kBpf;
                           return fail(Code::kInvalid, "must be auto, nftables or bpf");
                         }));
  ICON_CHECK(root.number("tunnel_bps", kTunnelRateMax, config.tunnel_bps));
  ICON_CHECK(
      root.number("tunnel_packets_per_second", kTunnelRateMax, config.tunnel_packets_per_second));
  ICON_CHECK(root.number("gap_max_ms", kGapMaxMs, config.gap_max_ms));
  ICON_CHECK(root.number("silence_max_ms", kSilenceMaxMs, config.silence_max_ms));
  if (config.silence_max_ms < kSilenceMinMs)
    return fail(Code::kInvalid,
                "silence_max_ms: must be at least " + std::to_string(kSilenceMinMs));
  ICON_CHECK(read_programs(root, config));
  ICON_CHECK(read_resolvers(root, config.resolvers));
  ICON_CHECK(read_capacity(root, config.capacity));
  ICON_CHECK(read_prices(root, config.prices));
  ICON_CHECK(read_sealed_bids(root, config));
  ICON_CHECK(read_exchange(root, config.exchange));
  ICON_CHECK(read_provider_list(root, "providers", kProvidersMax, config.providers));
  ICON_CHECK(read_continuity(root, config.continuity));
  ICON_CHECK(read_dht(root, config.dht));
  ICON_CHECK(root.boolean("accept_leases", config.accept_leases));
  ICON_CHECK(root.text("country", config.country));
  if (!config.country.empty() && !wire::is_country(config.country))
    return fail(Code::kInvalid, "'country': must be two capital letters, like DE");
  ICON_CHECK(root.text("kind", config.kind));
  if (!config.kind.empty() && !wire::is_provider_kind(config.kind))
    return fail(Code::kInvalid, "'kind': must be a word of small letters, like campus");
  ICON_CHECK(root.boolean("ping_api", config.ping_api));
  ICON_CHECK(root.boolean("ping_private_targets", config.ping_private_targets));
  ICON_CHECK(read_log(root, config));
  ICON_CHECK(root.finish());
  ICON_CHECK(check_absolute("socket", config.socket));
  ICON_CHECK(check_absolute("state_dir", config.state_dir));
  ICON_CHECK(check_absolute("runtime_dir", config.runtime_dir));
  ICON_CHECK(check_absolute("key_file", config.key_file));
  if (config.provider_name.empty() || config.provider_name.size() > 255)
    return fail(Code::kInvalid, "'provider_name': must have 1 to 255 characters");
  if (!config.public_address.is_v4())
    return fail(Code::kInvalid, "'public_address': must be an IPv4 address of this host");
  return config;
}

}  // namespace

Result<wire::MicroCredits> Prices::price_of(const wire::Resources& resources,
                                            std::int64_t slot_seconds) const {
  // 128 bits hold any product of the ranges that config and documents allow.
  __extension__ using Wide = __int128;
  const auto part = [&](std::int64_t amount, std::int64_t unit, wire::MicroCredits price) {
    return (Wide(amount) * slot_seconds * price + unit - 1) / unit;
  };
  const Wide sum = Wide(slot_ucredits) + part(resources.cpu_millis, 1'000, cpu_second_ucredits) +
                   part(resources.memory_bytes, 1'000'000'000, gb_second_ucredits) +
                   part(resources.bandwidth_bps, 1'000'000'000, gbps_second_ucredits);
  if (sum < 0 || sum > wire::kMicroCreditsMax)
    return fail(Code::kLimit, "the price of such a slot is beyond all money");
  return static_cast<wire::MicroCredits>(sum);
}

json::Object ConfiguredProvider::to_json() const {
  return {{"name", name},
          {"id", id.id()},
          {"api", api.to_string()},
          {"domain", domain},
          {"location", location}};
}

Result<Config> parse_config(const std::string& yaml_text) {
  try {
    ICON_CHECK(check_one_document(yaml_text));
    const auto node = YAML::Load(yaml_text);
    if (node.IsNull()) return fail(Code::kInvalid, "the configuration is empty");
    return read_root(node);
  } catch (const YAML::Exception& error) {
    return fail(Code::kInvalid,
                "line " + std::to_string(error.mark.line + 1) + ": no YAML: " + error.msg);
  }
}

Result<Config> load_config(const std::string& path) {
  ICON_TRY(const auto text, read_file(path, kConfigBytesMax));
  auto config = parse_config(text);
  if (!config) return fail(config.error().code, path + ": " + config.error().message);
  return config;
}

void complete_programs(Config& config, const std::string& program_dir) {
  const auto complete = [&](std::string& path, const char* name) {
    if (path.empty()) path = program_dir + "/" + name;
  };
  complete(config.agent_binary, "icon-agent");
  complete(config.stub_binary, "icon-stub");
  complete(config.tunnel_binary, "icon-tunnel");
  complete(config.freeze_guard_binary, "icon-freeze-guard");
  complete(config.criu_hold_binary, "icon-criu-hold");
  complete(config.runc_binary, "icon-runc");
  if (!config.criu.empty()) return;
  config.criu = find_above(program_dir, ".deps/criu/sbin/criu");
  if (config.criu.empty()) config.criu = "criu";
}

}  // namespace icon::supervisor
