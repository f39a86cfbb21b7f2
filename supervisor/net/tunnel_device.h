// What the data path needs of a tunnel: an encrypted point-to-point interface per peer with
// WireGuard's notions (X25519 keys, UDP endpoints, one peer per interface). icon-tunnel is behind
// it today; wireguard-go or the kernel's WireGuard fits behind it as well.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/address.h"
#include "base/result.h"

namespace icon::net {

using TunnelKey = std::array<std::uint8_t, 32>;

// What a peer may bring in; 0: any amount.
struct TunnelLimit {
  std::uint64_t bits_per_second = 0;
  std::uint64_t packets_per_second = 0;
};

struct TunnelStatus {
  std::uint16_t listen_port = 0;
  std::string public_key;       // hex
  std::string peer_public_key;  // hex; empty before set_peer()
  Endpoint peer_endpoint;
  int pid = -1;
  std::int64_t last_handshake_ms = 0;
  std::uint64_t rx_bytes = 0;
  std::uint64_t tx_bytes = 0;
  std::uint64_t dropped_packets = 0;
};

// Loop thread only. Interface names are the caller's; one tunnel per name.
class TunnelDevices {
 public:
  virtual ~TunnelDevices() = default;
  // Makes the interface and listens, or adopts what an earlier supervisor started. The interface
  // and its routes survive a crash of what is behind it, which is then started again with the same
  // key, port and peer. Errors: kNotFound (no program), kTimeout, kIo.
  virtual Result<TunnelStatus> open(const std::string& interface, const TunnelKey& private_key) = 0;
  // Any inner address is allowed: the senders are users. Starts a handshake. Errors: kNotFound,
  // kInvalid, kIo.
  virtual Status set_peer(const std::string& interface, const std::string& public_key,
                          const Endpoint& endpoint) = 0;
  virtual Result<TunnelStatus> status(const std::string& interface) = 0;
  // Interface, process and files are gone afterwards. No error when there is none.
  virtual Status close(const std::string& interface) = 0;
};

}  // namespace icon::net
