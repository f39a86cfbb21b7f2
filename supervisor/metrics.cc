// GET /metrics: the state of the host at this moment, read from journal and network.
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <boost/asio/thread_pool.hpp>
#include <map>

#include "base/log.h"
#include "migration/worker.h"
#include "supervisor/api_parts.h"
#include "supervisor/continuity/continuity.h"
#include "supervisor/host.h"
#include "supervisor/net/stub_traffic.h"

namespace icon::supervisor {
namespace {

using Labels = std::map<std::string, std::string>;

// Of a host's stubs, which may be 10,000, these have series of their own.
constexpr std::size_t kStubsShownMax = 100;

// A thread of its own: thousands of counters take the kernel longer than a gap may last.
boost::asio::thread_pool& counting_pool() {
  static boost::asio::thread_pool pool(1);
  return pool;
}

// One registry per scrape: every figure is computed from what is true now, none can grow stale.
class Page {
 public:
  void gauge(const std::string& name, const std::string& help, double value,
             const Labels& labels = {}) {
    prometheus::BuildGauge().Name(name).Help(help).Register(registry_).Add(labels).Set(value);
  }
  void counter(const std::string& name, const std::string& help, double value,
               const Labels& labels = {}) {
    prometheus::BuildCounter().Name(name).Help(help).Register(registry_).Add(labels).Increment(
        value);
  }
  std::string text() { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

 private:
  prometheus::Registry registry_{prometheus::Registry::InsertBehavior::Merge};
};

void add_resources(Page& page, const std::string& name, const std::string& help,
                   const wire::Resources& resources) {
  page.gauge(name, help, static_cast<double>(resources.cpu_millis), {{"resource", "cpu_millis"}});
  page.gauge(name, help, static_cast<double>(resources.memory_bytes),
             {{"resource", "memory_bytes"}});
  page.gauge(name, help, static_cast<double>(resources.bandwidth_bps),
             {{"resource", "bandwidth_bps"}});
}

template <class Records, class KeyOf>
std::map<std::string, double> count_by(const Records& records, KeyOf key_of) {
  std::map<std::string, double> counts;
  for (const auto& record : records) ++counts[key_of(record)];
  return counts;
}

void add_journal(Page& page, Host& host) {
  if (const auto icons = host.journal->icons())
    for (const auto& [state, count] :
         count_by(*icons, [](const IconRecord& icon) { return icon.state; }))
      page.gauge("icon_icons", "ICONs on this host by state", count, {{"state", state}});
  if (const auto leases = host.journal->leases())
    for (const auto& [key, count] :
         count_by(*leases, [](const LeaseRecord& lease) { return lease.role + "/" + lease.state; }))
      page.gauge(
          "icon_leases", "Leases by role and state", count,
          {{"role", key.substr(0, key.find('/'))}, {"state", key.substr(key.find('/') + 1)}});
  if (const auto stubs = host.journal->stubs())
    page.gauge("icon_stubs", "Stubs of ICONs that moved on", static_cast<double>(stubs->size()));
  const auto migrations = host.journal->migrations();
  if (!migrations) return;
  for (const auto& [key, count] : count_by(*migrations, [](const MigrationRecord& migration) {
         return migration.role + "/" + migration.state;
       }))
    page.gauge("icon_migrations", "The last 1000 migrations by role and state", count,
               {{"role", key.substr(0, key.find('/'))}, {"state", key.substr(key.find('/') + 1)}});
  for (const auto& migration : *migrations) {
    if (migration.role != "source" || migration.gap_us == 0) continue;
    page.gauge("icon_last_migration_gap_seconds", "The gap of the newest move from this host",
               static_cast<double>(migration.gap_us) / 1e6);
    page.gauge("icon_last_migration_bytes", "What the newest move from this host sent",
               static_cast<double>(migration.bytes));
    break;
  }
}

void add_network(Page& page, Host& host) {
  for (const auto& tunnel : host.network->tunnels()) {
    const Labels labels{{"peer", short_id(tunnel.peer_id)}};
    page.counter("icon_tunnel_received_bytes_total", "Bytes out of the tunnel",
                 static_cast<double>(tunnel.rx_bytes), labels);
    page.counter("icon_tunnel_sent_bytes_total", "Bytes into the tunnel",
                 static_cast<double>(tunnel.tx_bytes), labels);
    page.counter("icon_tunnel_dropped_packets_total", "Forged, replayed or malformed packets",
                 static_cast<double>(tunnel.dropped_packets), labels);
  }
  const auto forwarding = host.network->forwarding();
  page.gauge("icon_forwarding_fast", "1 where the fast path (bpf) forwards, 0 where the rules do",
             forwarding.fast ? 1 : 0);
  page.counter("icon_forwarded_fast_packets_total", "Packets that the fast path carried",
               static_cast<double>(forwarding.fast_packets));
  if (const auto refused = host.network->refused_packets())
    for (const auto& [reason, packets] : *refused)
      page.counter("icon_refused_packets_total", "Packets that the rules refused",
                   static_cast<double>(packets), {{"reason", reason}});
}

void add_traffic(Page& page, const std::string& name, const net::StubTraffic& traffic,
                 const std::string& about, Labels labels) {
  page.counter("icon_" + name + "_connections_total", "Connections begun by " + about,
               static_cast<double>(traffic.connections), labels);
  const auto add = [&](const char* direction, std::uint64_t packets, std::uint64_t bytes) {
    labels["direction"] = direction;
    page.counter("icon_" + name + "_packets_total", "Packets forwarded by " + about,
                 static_cast<double>(packets), labels);
    page.counter("icon_" + name + "_bytes_total", "Bytes forwarded by " + about,
                 static_cast<double>(bytes), labels);
  };
  add("to_icon", traffic.packets_to, traffic.bytes_to);
  add("from_icon", traffic.packets_from, traffic.bytes_from);
}

void add_stubs(Page& page, const Result<net::StubTraffics>& traffic) {
  if (!traffic) {
    log::warn("metrics.stubs", {{"error", traffic.error().message}});
    return;
  }
  add_traffic(page, "stubs", traffic->sum, "all stubs, also those that are gone", {});
  for (const auto& [icon, carried] : net::busiest_stubs(*traffic, kStubsShownMax))
    add_traffic(page, "stub", carried, "the busiest stubs", {{"icon", short_id(icon)}});
}

void add_pings(Page& page, Host& host) {
  const PingCounts& counts = host.pings->counts();
  const auto count = [&](const char* name, const char* help, std::uint64_t value,
                         const char* outcome) {
    page.counter(name, help, static_cast<double>(value), {{"outcome", outcome}});
  };
  const char* requests = "icon_ping_requests_total";
  const char* about_requests = "Strangers' requests for round trips from here";
  count(requests, about_requests, counts.requests - counts.requests_refused, "answered");
  count(requests, about_requests, counts.requests_refused, "refused");
  const char* targets = "icon_ping_targets_total";
  const char* about_targets = "Addresses in them: pinged, told from memory, refused";
  count(targets, about_targets, counts.targets_answered, "answered");
  count(targets, about_targets, counts.targets_silent, "silent");
  count(targets, about_targets, counts.targets_known, "known");
  count(targets, about_targets, counts.targets_refused, "refused");
}

void add_traffic(Page& page, Host& host) {
  const PeerTraffic& traffic = host.peers->traffic();
  const char* calls = "icon_peer_calls_total";
  const char* about_calls = "This host's calls to others, by whether they were answered";
  page.counter(calls, about_calls, static_cast<double>(traffic.requests - traffic.failed),
               {{"outcome", "answered"}});
  page.counter(calls, about_calls, static_cast<double>(traffic.failed), {{"outcome", "failed"}});
  if (const auto* swarm = host.continuity ? host.continuity->swarm() : nullptr) {
    const auto said = swarm->traffic();
    page.counter("icon_swarm_calls_total", "Calls to etcd", static_cast<double>(said.calls));
    page.counter("icon_swarm_bytes_total", "In these calls, headers not counted",
                 static_cast<double>(said.sent_bytes + said.received_bytes));
  }
  const char* bytes = "icon_peer_bytes_total";
  const char* about_bytes = "In these calls, headers counted, TLS not";
  page.counter(bytes, about_bytes, static_cast<double>(traffic.sent_bytes),
               {{"direction", "sent"}});
  page.counter(bytes, about_bytes, static_cast<double>(traffic.received_bytes),
               {{"direction", "received"}});
}

}  // namespace

Task<std::string> render_metrics(Host& host) {
  auto read = host.network->stub_traffic();
  const auto traffic = co_await migration::run_on(counting_pool(), std::move(read));
  Page page;
  page.gauge("icon_supervisor_info", "Constant 1", 1,
             {{"id", host.id}, {"provider", host.config.provider_name}, {"version", kVersion}});
  page.gauge("icon_supervisor_uptime_seconds", "Since the daemon started",
             static_cast<double>(host.clock.utc_ms() - host.started_ms) / 1e3);
  add_resources(page, "icon_capacity", "What this host sells in all", host.config.capacity);
  if (const auto free = host.market->free())
    add_resources(page, "icon_free", "What is neither leased nor used", *free);
  if (const auto cordon = host.market->cordoned())
    page.gauge("icon_host_cordoned", "1 while this host takes nothing new", cordon->has_value());
  add_journal(page, host);
  add_network(page, host);
  add_stubs(page, traffic);
  add_pings(page, host);
  add_traffic(page, host);
  co_return page.text();
}

}  // namespace icon::supervisor
