// Puts decrypted packets of one TCP or UDP flow together again before they are written to the TUN
// device, by the rules of the kernel's own receive offload: one pass through its stack for up to
// 64 KiB. Pure but for the writer; no allocation after construction.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "supervisor/tunnel/offload.h"

namespace icon::tunnel {

class PacketWriter {
 public:
  virtual ~PacketWriter() = default;
  // One packet: an OffloadHeader, then its parts.
  virtual void write_packet(std::span<const iovec> parts) = 0;
};

struct CoalesceOptions {
  bool tcp = true;
  bool udp = true;
};

// Owner: the receiving thread.
class Coalescer {
 public:
  static constexpr std::size_t kFlowsMax = 8;  // open at once
  static constexpr std::size_t kPacketsMax = 64;
  static constexpr std::size_t kBytesMax = 65'535;

  Coalescer(PacketWriter& writer, CoalesceOptions options);
  // A whole IP packet, its length that of its header. It must stay in place until flush(), and is
  // changed. Written at once or by flush(); packets of one flow keep their order.
  void add(std::span<std::uint8_t> packet);
  void flush();

 private:
  // What a packet is, as far as it matters here.
  struct View {
    std::uint8_t* packet = nullptr;
    std::size_t bytes = 0;
    std::size_t ip_bytes = 0;
    std::size_t headers = 0;  // IP and TCP or UDP; 0: no transport header to look at
    std::uint8_t protocol = 0;
    bool can_merge = false;  // plain data: may begin or continue a flow
    bool ends_flow = false;  // nothing is put behind it
    std::size_t payload() const { return bytes - headers; }
    std::uint8_t* transport() const { return packet + ip_bytes; }
  };
  struct Flow {
    View first;
    std::size_t count = 0;  // 0: free
    std::size_t payload = 0;
    std::size_t segment = 0;
    bool pushes = false;
    // The offload header, the first packet, the payload of the others.
    std::array<iovec, kPacketsMax + 1> parts{};
  };

  View look_at(std::span<std::uint8_t> packet) const;
  static bool is_same_flow(const View& a, const View& b);
  static bool continues(const Flow& flow, const View& next);
  Flow& free_flow();
  void write_flow(Flow& flow);
  void write_single(const View& view);

  PacketWriter& writer_;
  CoalesceOptions options_;
  std::vector<Flow> flows_;
  std::size_t last_ = 0;  // the flow that the last packet went to
};

}  // namespace icon::tunnel
