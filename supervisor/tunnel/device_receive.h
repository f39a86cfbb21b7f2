// Network to interface: reads trains of datagrams, opens them in place, puts
// the packets of a flow together again and writes them to the TUN device.
#pragma once

#include <array>

#include "supervisor/tunnel/coalesce.h"
#include "supervisor/tunnel/device_send.h"
#include "supervisor/tunnel/tun.h"

namespace icon::tunnel {

// RFC 6040: what the outer packet met on its way is carried over to the inner
// one. False: it cannot be told, and the packet must go.
bool carry_ecn(std::uint8_t outer, std::span<std::uint8_t> packet);

// Owner: Device; the receiving thread.
class ReceivePath final : private PacketWriter {
 public:
  ReceivePath(DataPlane& plane, TunOffload offload);
  // One batch. False: there was nothing more to read.
  bool step();

 private:
  void write_packet(std::span<const iovec> parts) override;
  void open_train(const UdpReceiver::Train& train, wg::Now now);

  DataPlane& plane_;
  UdpReceiver receiver_;
  Coalescer coalescer_;
  wg::Outbox outbox_;
  std::array<wg::Received, wg::Keypair::kBatchMax> received_{};
};

}  // namespace icon::tunnel
