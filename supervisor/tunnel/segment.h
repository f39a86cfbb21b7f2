// Cuts what the TUN device hands over as one packet of up to 64 KiB into packets that fit its MTU,
// as a network card would: headers repeated, lengths, sequence numbers and checksums filled in.
// Pure; no allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "supervisor/tunnel/offload.h"

namespace icon::tunnel {

// A packet from the device, checked: count() packets come out of it. Borrows the packet's bytes.
class Segmenter {
 public:
  // Nothing: header and packet contradict each other, or it is neither IPv4 nor IPv6, or of a type
  // that we never asked for.
  static std::optional<Segmenter> of(const OffloadHeader& header,
                                     std::span<const std::uint8_t> packet);

  std::size_t count() const { return count_; }
  // Of the packet with this number, at most bytes_max().
  std::size_t bytes(std::size_t number) const {
    return number + 1 == count_ ? headers_ + (packet_.size() - headers_) - number * payload_max_
                                : headers_ + payload_max_;
  }
  std::size_t bytes_max() const { return bytes(0); }
  // `out` has room for bytes(number).
  void write(std::size_t number, std::uint8_t* out) const;
  // The two ECN bits of the IP header.
  std::uint8_t ecn() const;

 private:
  Segmenter() = default;
  void write_single(std::uint8_t* out) const;
  void write_transport(std::size_t number, std::size_t payload, std::uint8_t* out) const;

  std::span<const std::uint8_t> packet_;
  OffloadHeader header_;
  std::size_t count_ = 0;
  std::size_t headers_ = 0;    // IP and TCP or UDP
  std::size_t transport_ = 0;  // where TCP or UDP begins
  std::size_t payload_max_ = 0;
  std::uint8_t protocol_ = 0;
};

}  // namespace icon::tunnel
