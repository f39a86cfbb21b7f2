// Commands that need no supervisor: keys, and the DNS records by which a provider is found.
#pragma once

#include <cstdint>
#include <string>

#include "cli/context.h"

namespace icon::cli {

// Makes a key, mode 0600, and prints its id. Never overwrites: kRefused.
int generate_key(Context& context, const std::string& path);

struct DnsRecordOptions {
  std::string domain;
  std::string host;  // name or address of the supervisor
  std::uint16_t port = 7946;
  std::string address6;     // one more: its AAAA record
  std::string address;      // with a host name: adds its A or AAAA record
  std::string config_file;  // a supervisor's: host, port, address and key come from there
  std::string key_file;
  std::string id;  // instead of a key file
  std::string location;
  std::string format = "bind";  // bind, nsd: lines of a zone file; knot: knotc commands
  std::uint32_t ttl = 3600;
  int priority = 10;
  int weight = 10;
};
int print_dns_records(Context& context, const DnsRecordOptions& options);

}  // namespace icon::cli
