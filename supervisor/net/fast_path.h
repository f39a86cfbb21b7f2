// The programs of bpf/forward.bpf.c in the kernel: loaded, attached, their maps filled. What they
// do not serve, nftables does; so nothing here is needed for a packet to arrive.
//
// Programs live as long as the tc filters that hold them, maps as long as the programs: both
// survive this process, and the next one adopts the maps. Works in the network namespace of the
// calling thread. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "supervisor/net/fast_flows.h"
#include "supervisor/net/fast_rules.h"
#include "supervisor/net/stub_traffic.h"

struct bpf_object;

namespace icon::net {

class FastPath {
 public:
  struct Config {
    Address public_address;
    std::vector<int> outsides;  // the interfaces towards the world; Ethernets
    int mtu_outside = 0;        // the smallest of theirs
  };
  enum class Side { kOutside, kIcon, kTunnel, kQueue };

  // Loads the programs and attaches those for the outside; takes over the maps of an earlier
  // process. Errors: kRefused (no privilege), kIo: the reason, in one line.
  static Result<std::unique_ptr<FastPath>> create(const Config& config);
  // Detaches what is attached to these interfaces, and leaves no queueing discipline that only we
  // needed. No error where there is nothing.
  static Status remove(const std::vector<int>& interfaces);
  ~FastPath();

  // Takes the place of the program there, without a moment in between.
  Status attach(int interface, Side side, std::uint32_t link);
  // Each entry is one atomic change.
  Status put(const FastEntries& entries);
  void erase(const FastEntries& entries);
  FastEntries entries() const;      // in the kernel
  Result<FastFlows> flows() const;  // Errors: kIo (no descriptor left)
  std::uint64_t forwarded() const;  // packets, since the maps were made

  // Whether what goes by the stub of this overlay address is counted, from now on; what is counted
  // already goes on. Errors: kIo.
  Status count(const Address& overlay, bool on);
  void count_only(const std::set<Address>& overlays);
  Result<FastTraffic> traffic() const;  // Errors: kIo (no descriptor left)

 private:
  struct Close {
    void operator()(bpf_object* object) const;
  };
  explicit FastPath(bpf_object* object) : object_(object) {}
  Status load(const Config& config);
  int map_fd(FastMap map) const;
  std::unique_ptr<bpf_object, Close> object_;
};

// The interface that has this address. Errors: kNotFound.
Result<std::string> interface_of(const Address& address);

}  // namespace icon::net
