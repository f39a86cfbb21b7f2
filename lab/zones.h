// The lab's DNS as files: zones and configuration of an authoritative server (knotd) and of a
// recursive resolver (unbound) that knows nothing but the root. Pure.
//
//   .              -> test., in-addr.arpa.
//   test.          -> one delegation per domain
//   <domain>.      A of <node>, <interface>.<node>, u<k>.<node>; _icon._tcp SRV and TXT; records
//   in-addr.arpa.  PTR of every address in the lab
#pragma once

#include <map>
#include <string>
#include <vector>

#include "lab/plan.h"

namespace icon::lab {

inline constexpr int kRecordTtlSeconds = 30;

struct Zone {
  std::string name;  // with the final dot
  std::string file;  // base name
  std::string text;
};

// Ids by node: what "@node" of a provider means.
using SupervisorIds = std::map<std::string, std::string>;

std::vector<Zone> make_zones(const Topology& topology, const Plan& plan, const SupervisorIds& ids);
// One line, without quotes: "v=icon1 id=.. loc=.. host=..".
std::string provider_text(const Provider& provider, const Plan& plan, const SupervisorIds& ids);

// `directory` holds zones/ and everything that the two write.
std::string knot_config(const std::vector<Zone>& zones, const Address& address,
                        const std::string& directory);
std::string unbound_config(const Address& address, const std::string& directory);
std::string root_hints(const Address& dns_address);

}  // namespace icon::lab
