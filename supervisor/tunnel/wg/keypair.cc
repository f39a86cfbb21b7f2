#include "supervisor/tunnel/wg/keypair.h"

#include <algorithm>

#include "base/assert.h"

namespace icon::tunnel::wg {

Keypair::Keypair(Indices indices, const TransportKeys& keys, bool is_initiator, SteadyTime created)
    : indices_(indices), keys_(keys), is_initiator_(is_initiator), created_(created) {}

std::optional<std::uint64_t> Keypair::reserve(std::uint64_t count) {
  // Never past the limit, not even by a failed attempt: a counter that wraps would repeat nonces.
  std::uint64_t first = send_counter_.load(std::memory_order_relaxed);
  do {
    if (count > kRejectAfterMessages || first > kRejectAfterMessages - count) return std::nullopt;
  } while (!send_counter_.compare_exchange_weak(first, first + count, std::memory_order_relaxed));
  return first;
}

void Keypair::seal(Aead& aead, std::span<Segment> segments, std::uint64_t first,
                   std::size_t mtu) const {
  std::array<AeadJob, kBatchMax> jobs;
  while (!segments.empty()) {
    const std::size_t count = std::min(segments.size(), kBatchMax);
    for (std::size_t i = 0; i < count; ++i) {
      Segment& segment = segments[i];
      const std::size_t padded = padded_bytes(segment.bytes, mtu);
      std::uint8_t* text = segment.datagram + kTransportHeaderBytes;
      std::memset(text + segment.bytes, 0, padded - segment.bytes);
      put_u32(segment.datagram, static_cast<std::uint32_t>(MessageType::kTransport));
      put_u32(segment.datagram + TransportLayout::kReceiver, indices_.remote);
      put_u64(segment.datagram + TransportLayout::kCounter, first);
      jobs[i] = AeadJob{text, padded, first++};
      segment.bytes = padded + kTransportOverhead;
    }
    aead.seal(keys_.send, std::span(jobs).first(count));
    segments = segments.subspan(count);
  }
}

void Keypair::open(Aead& aead, std::span<const Received> datagrams, std::span<Opened> opened) {
  ICON_ASSERT(datagrams.size() <= kBatchMax && datagrams.size() == opened.size());
  std::array<AeadJob, kBatchMax> jobs;
  std::array<std::size_t, kBatchMax> places{};
  std::size_t count = 0;
  for (std::size_t i = 0; i < datagrams.size(); ++i) {
    const Received& received = datagrams[i];
    const std::uint64_t counter = get_u64(received.datagram + TransportLayout::kCounter);
    opened[i] = Opened::kExhausted;
    if (counter >= kRejectAfterMessages) continue;
    jobs[count] = AeadJob{received.datagram + kTransportHeaderBytes,
                          received.bytes - kTransportOverhead, counter};
    places[count++] = i;
  }
  aead.open(keys_.receive, std::span(jobs).first(count));
  for (std::size_t i = 0; i < count; ++i) {
    Opened& result = opened[places[i]];
    if (!jobs[i].is_authentic)
      result = Opened::kForged;
    else
      result = window_.accept(jobs[i].counter) ? Opened::kOk : Opened::kReplayed;
  }
}

}  // namespace icon::tunnel::wg
