#include "lab/zones.h"

#include <fmt/format.h>

namespace icon::lab {
namespace {

std::string zone_head(const std::string& zone, const Address& dns, bool own_name_server) {
  const std::string server = own_name_server ? "ns." + zone : "ns.test.";
  std::string text = fmt::format(
      "$ORIGIN {0}\n$TTL {1}\n@ SOA {2} hostmaster.test. 1 3600 600 86400 5\n@ NS {2}\n", zone,
      kRecordTtlSeconds, server);
  if (own_name_server) text += fmt::format("ns A {}\n", dns.to_string());
  return text;
}

std::string pointer_line(const Address& address, const std::string& name) {
  const auto bytes = address.bytes();
  return fmt::format("{}.{}.{}.{} PTR {}.\n", bytes[3], bytes[2], bytes[1], bytes[0], name);
}

std::string full_name(const NodePlan& node) { return node.name + "." + node.domain; }

// A line in the domain's zone and one in the reverse zone.
void add_address(std::string& zone, std::string& reverse, const NodePlan& node,
                 const std::string& prefix, const Address& address) {
  zone += fmt::format("{}{} A {}\n", prefix, node.name, address.to_string());
  reverse += pointer_line(address, prefix + full_name(node));
}

void add_providers(std::string& zone, const std::string& domain, const Topology& topology,
                   const Plan& plan, const SupervisorIds& ids) {
  for (const auto& provider : topology.providers) {
    if (provider.domain != domain) continue;
    zone += fmt::format("_icon._tcp SRV {} {} {} {}.\n", provider.priority, provider.weight,
                        provider.port, full_name(*plan.find(provider.node)));
    zone += fmt::format("_icon._tcp TXT \"{}\"\n", provider_text(provider, plan, ids));
  }
}

}  // namespace

std::string provider_text(const Provider& provider, const Plan& plan, const SupervisorIds& ids) {
  std::string id = provider.id;
  if (id.starts_with('@')) {
    const auto found = ids.find(id.substr(1));
    id = found == ids.end() ? std::string() : found->second;
  }
  std::string text = "v=icon1 id=" + id;
  if (!provider.location.empty()) text += " loc=" + provider.location;
  // Says which of several SRV records it speaks of.
  return text + " host=" + full_name(*plan.find(provider.node));
}

std::vector<Zone> make_zones(const Topology& topology, const Plan& plan, const SupervisorIds& ids) {
  const Address dns = plan.find(topology.dns_node)->loopback;
  Zone root{".", "root.zone", zone_head(".", dns, false)};
  root.text +=
      fmt::format("test. NS ns.test.\nin-addr.arpa. NS ns.test.\nns.test. A {}\n", dns.to_string());
  Zone test{"test.", "test.zone", zone_head("test.", dns, true)};
  Zone reverse{"in-addr.arpa.", "reverse.zone", zone_head("in-addr.arpa.", dns, false)};
  std::vector<Zone> zones;
  for (const auto& domain : topology.domains) {
    const std::string name = domain.name + ".";
    test.text += fmt::format("{0} NS ns.{0}\nns.{0} A {1}\n", name, dns.to_string());
    Zone zone{name, domain.name + ".zone", zone_head(name, dns, true)};
    for (const auto& node : plan.nodes) {
      if (node.domain != domain.name) continue;
      add_address(zone.text, reverse.text, node, "", node.loopback);
      for (const auto& interface : node.interfaces)
        add_address(zone.text, reverse.text, node, interface.name + ".", interface.address);
      for (std::size_t user = 0; user < node.users.size(); ++user)
        add_address(zone.text, reverse.text, node, fmt::format("u{}.", user + 1), node.users[user]);
    }
    add_providers(zone.text, domain.name, topology, plan, ids);
    for (const auto& record : domain.records)
      zone.text += fmt::format("{} {} {}\n", record.name, record.type, record.data);
    zones.push_back(std::move(zone));
  }
  zones.push_back(std::move(root));
  zones.push_back(std::move(test));
  zones.push_back(std::move(reverse));
  return zones;
}

std::string knot_config(const std::vector<Zone>& zones, const Address& address,
                        const std::string& directory) {
  std::string text = fmt::format(
      "server:\n"
      "  rundir: {0}\n"
      "  listen: {1}@53\n"
      "  user: root\n"
      "  udp-workers: 1\n"
      "  tcp-workers: 1\n"
      "  background-workers: 2\n"
      "log:\n"
      "  - target: {0}/knot.log\n"
      "    any: info\n"
      "database:\n"
      "  storage: {0}/db\n"
      "  journal-db-max-size: 8M\n"
      "  kasp-db-max-size: 8M\n"
      "  timer-db-max-size: 8M\n"
      "  catalog-db-max-size: 8M\n"
      "template:\n"
      "  - id: default\n"
      "    storage: {0}/zones\n"
      "    zonefile-sync: -1\n"
      "    journal-content: none\n"
      "zone:\n",
      directory, address.to_string());
  for (const auto& zone : zones)
    text += fmt::format("  - domain: {}\n    file: {}\n", zone.name, zone.file);
  return text;
}

std::string unbound_config(const Address& address, const std::string& directory) {
  return fmt::format(
      "server:\n"
      "  directory: \"{0}\"\n"
      "  chroot: \"\"\n"
      "  username: \"\"\n"
      "  pidfile: \"\"\n"
      "  use-syslog: no\n"
      "  logfile: \"{0}/unbound.log\"\n"
      "  do-daemonize: no\n"
      "  num-threads: 1\n"
      "  interface: {1}\n"
      "  interface: 127.0.0.1\n"
      "  outgoing-interface: {1}\n"
      "  access-control: 0.0.0.0/0 allow\n"
      "  do-ip6: no\n"
      "  root-hints: \"{0}/root.hints\"\n"
      "  module-config: \"iterator\"\n"
      "  local-zone: \"test.\" nodefault\n"
      "  do-not-query-localhost: no\n"
      // After an outage on a lab link names must resolve again at once.
      "  infra-keep-probing: yes\n"
      "  infra-host-ttl: 5\n"
      "  cache-max-negative-ttl: 5\n"
      "remote-control:\n"
      "  control-enable: no\n",
      directory, address.to_string());
}

std::string root_hints(const Address& dns_address) {
  return fmt::format(". 3600 NS ns.test.\nns.test. 3600 A {}\n", dns_address.to_string());
}

}  // namespace icon::lab
