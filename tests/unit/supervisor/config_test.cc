#include "supervisor/config.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/unit/base/http_rig.h"

namespace icon::supervisor {
namespace {

using ::testing::Test;

constexpr const char* kSmallest = "provider_name: p\npublic_address: 192.0.2.1\n";

TEST(Config, SmallestAndItsDefaults) {
  const auto config = parse_config(kSmallest);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->listen.to_string(), "0.0.0.0:7946");
  EXPECT_EQ(config->api.to_string(), "192.0.2.1:7946");
  EXPECT_EQ(config->socket, "/run/icon/supervisor.sock");
  EXPECT_EQ(config->key_file, "/var/lib/icon/host.key");
  EXPECT_TRUE(config->accept_leases);
}

TEST(Config, Everything) {
  const std::string id = KeyPair::generate().id();
  const auto config = parse_config(std::string(kSmallest) + R"(
listen: 192.0.2.1:8000
socket: /run/a.sock
state_dir: /srv/icon
runtime_dir: /run/icon-a
agent_binary: /opt/agent
criu: /opt/criu
runc: /opt/runc
external_interface: eth0
public_address6: "2001:db8::1"
forwarding: nftables
tunnel_bps: 1000000
tunnel_packets_per_second: 500
gap_max_ms: 3000
silence_max_ms: 20000
resolvers: [192.0.2.53, "2001:db8::53"]
capacity: {cpu_millis: 4000, memory_bytes: 8000000000, bandwidth_bps: 1000000000}
prices: {slot_ucredits: 1, cpu_second_ucredits: 2, gb_second_ucredits: 3, gbps_second_ucredits: 4}
accept_leases: false
dht: {socket: /run/icon/dht.sock, networks: [198.51.100.0/24, "2001:db8::/32"]}
providers:
  - {name: b, id: )" + id + R"(, api: "192.0.2.2:7946", location: here}
log: {level: debug, path: /var/log/icon.log}
)");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->api.to_string(), "192.0.2.1:8000");
  EXPECT_EQ(config->key_file, "/srv/icon/host.key");
  EXPECT_EQ(config->resolvers.size(), 2u);
  EXPECT_EQ(config->public_address6->to_string(), "2001:db8::1");
  EXPECT_EQ(config->forwarding, net::Forwarding::kNftables);
  EXPECT_EQ(config->tunnel_bps, 1'000'000);
  EXPECT_EQ(config->tunnel_packets_per_second, 500);
  EXPECT_EQ(config->gap_max_ms, 3'000);
  EXPECT_EQ(config->silence_max_ms, 20'000);
  EXPECT_EQ(config->dht.socket, "/run/icon/dht.sock");
  ASSERT_EQ(config->dht.networks.size(), 2u);
  EXPECT_EQ(config->dht.networks[1].to_string(), "2001:db8::/32");
  EXPECT_EQ(config->capacity.cpu_millis, 4000);
  EXPECT_EQ(config->prices.gbps_second_ucredits, 4);
  ASSERT_EQ(config->providers.size(), 1u);
  EXPECT_EQ(config->providers[0].id.id(), id);
  EXPECT_EQ(config->providers[0].to_json()["location"], "here");
  EXPECT_EQ(config->log_level, log::Level::kDebug);
}

TEST(Config, Continuity) {
  const std::string id = KeyPair::generate().id();
  const std::string siblings = "siblings: [{name: b, id: " + id + R"(, api: "192.0.2.2:7946"}])";
  const auto read = [](const std::string& fields) {
    return parse_config(std::string(kSmallest) + "continuity: {" + fields + "}\n");
  };
  EXPECT_EQ(parse_config(kSmallest)->continuity.mode, ContinuityMode::kSingle);
  const auto cluster = read("mode: cluster, standbys_max: 3, standby_seconds: 60, " + siblings);
  ASSERT_TRUE(cluster) << cluster.error().message;
  EXPECT_EQ(cluster->continuity.mode, ContinuityMode::kCluster);
  EXPECT_EQ(cluster->continuity.standbys_max, 3);
  EXPECT_EQ(cluster->continuity.siblings.at(0).id.id(), id);
  const auto swarm = read("mode: swarm, " + siblings +
                          R"(, etcd: {name: s, endpoints: ["http://192.0.2.1:2379"]})");
  ASSERT_TRUE(swarm) << swarm.error().message;
  EXPECT_EQ(swarm->continuity.swarm_name, "s");
  EXPECT_FALSE(read("mode: cluster"));
  EXPECT_FALSE(read("mode: swarm, " + siblings));
  EXPECT_FALSE(read("mode: crowd"));
  EXPECT_FALSE(read("mode: cluster, standby_seconds: 1, " + siblings));
  EXPECT_FALSE(read("mode: cluster, standbys_max: 0, " + siblings));
  EXPECT_FALSE(read("mode: cluster, sibling: 1, " + siblings));
  EXPECT_FALSE(read("mode: swarm, " + siblings + R"(, etcd: {endpoints: ["192.0.2.1"]})"));
}

struct Bad {
  const char* text;
  const char* must_say;
};
class ConfigErrors : public ::testing::TestWithParam<Bad> {};

TEST_P(ConfigErrors, NameKeyAndLine) {
  const auto config = parse_config(std::string(kSmallest) + GetParam().text);
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, Code::kInvalid);
  EXPECT_NE(config.error().message.find(GetParam().must_say), std::string::npos)
      << config.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    Config, ConfigErrors,
    ::testing::Values(Bad{"capacty: {}\n", "line 1, 'capacty': no such key"},
                      Bad{"capacity: {cpu: 1}\n", "'capacity.cpu': no such key"},
                      Bad{"capacity: 5\n", "'capacity': must be a map"},
                      Bad{"capacity: {cpu_millis: -1}\n", "'capacity.cpu_millis'"},
                      Bad{"capacity: {cpu_millis: 1.5}\n", "whole number"},
                      Bad{"listen: nowhere\n", "line 3, 'listen'"},
                      Bad{"public_address6: 192.0.2.1\n", "must be IPv6"},
                      Bad{"forwarding: fast\n", "auto, nftables or bpf"},
                      Bad{"accept_leases: maybe\n", "true or false"},
                      Bad{"silence_max_ms: 5\n", "silence_max_ms: must be at least 1000"},
                      Bad{"resolvers: [x]\n", "'resolvers'"},
                      Bad{"resolvers: x\n", "'resolvers': must be a list"},
                      Bad{"providers: [{name: x}]\n", "'providers[0].id': is missing"},
                      Bad{"providers: [{name: x, id: y, api: z}]\n", "'providers[0].id'"},
                      Bad{"dht: {networks: []}\n", "'dht.socket': is missing"},
                      Bad{"dht: {socket: dht.sock}\n", "'dht.socket': must be an absolute path"},
                      Bad{"dht: {socket: /d, networks: 1}\n", "'dht.networks': must be a list"},
                      Bad{"dht: {socket: /d, networks: [x]}\n", "'dht.networks'"},
                      Bad{"dht: {socket: /d, networks: [10.0.0.0/20]}\n", "nobody looks for"},
                      Bad{"dht: {socket: /d, bootstrap: x}\n", "'dht.bootstrap': no such key"},
                      Bad{"log: {level: loud}\n", "debug, info, warn or error"},
                      Bad{"state_dir: relative\n", "absolute path"},
                      Bad{"provider_name: again\n", "stands twice"}, Bad{"public: [\n", "no YAML"},
                      Bad{"resolvers: [192.0.2.1]]\ncapacity: {}\n", "line 3: no YAML"},
                      Bad{"---\nlisten: 192.0.2.1:1\n", "second document"}));

TEST(Config, SealedBidsFitIntoTheHost) {
  const auto with = [](const std::string& bids) {
    return parse_config(std::string(kSmallest) +
                        "capacity: {cpu_millis: 1000, memory_bytes: 10}\n" + "sealed_bids: {" +
                        bids + "}\n");
  };
  const auto config = with("slots: 2, cpu_millis: 500, memory_bytes: 5, slot_seconds: 60");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->sealed_bids.slots, 2);
  EXPECT_EQ(config->sealed_bids.bid_ms, 10'000);
  EXPECT_FALSE(with("slots: 3, cpu_millis: 500, memory_bytes: 1, slot_seconds: 60"));
  EXPECT_FALSE(with("slots: 1, cpu_millis: 500"));
  EXPECT_FALSE(with("slots: 1, cpu_millis: 500, slot_seconds: 60, bid_ms: 0"));
  EXPECT_FALSE(with("slot: 1"));
}

TEST(Config, MissingAndEmpty) {
  EXPECT_FALSE(parse_config(""));
  EXPECT_FALSE(parse_config("- a list"));
  const auto config = parse_config("provider_name: p\n");
  ASSERT_FALSE(config);
  EXPECT_NE(config.error().message.find("'public_address': is missing"), std::string::npos);
  EXPECT_FALSE(parse_config("provider_name: p\npublic_address: 2001:db8::1\n"));
}

TEST(Config, FileErrorsNameTheFile) {
  EXPECT_EQ(load_config("/nowhere/x.yaml").error().code, Code::kNotFound);
  test::TempDir directory;
  std::ofstream(directory / "c.yaml") << "x: 1\n";
  const auto config = load_config(directory / "c.yaml");
  ASSERT_FALSE(config);
  EXPECT_NE(config.error().message.find("c.yaml"), std::string::npos);
}

TEST(Prices, RoundUpAndStayInRange) {
  const Prices prices{10, 2, 3, 4};
  EXPECT_EQ(*prices.price_of({}, 100), 10);
  EXPECT_EQ(*prices.price_of({1000, 1'000'000'000, 1'000'000'000}, 100), 10 + 200 + 300 + 400);
  EXPECT_EQ(*prices.price_of({1, 0, 0}, 1), 11);  // 0.002 is charged as 1
  const Prices absurd{0, wire::kMicroCreditsMax, 0, 0};
  EXPECT_EQ(absurd.price_of({1'000'000, 0, 0}, wire::kSlotSecondsMax).error().code, Code::kLimit);
}

TEST(Programs, StandBesideUs) {
  auto config = *parse_config(std::string(kSmallest) + "agent_binary: /opt/agent\n");
  complete_programs(config, "/usr/lib/icon");
  EXPECT_EQ(config.agent_binary, "/opt/agent");
  EXPECT_EQ(config.stub_binary, "/usr/lib/icon/icon-stub");
}

}  // namespace
}  // namespace icon::supervisor
