// One direction of a link: what goes in comes out later, in order, or not at all. Pure: times are
// given, packets are bytes. Owner: the relay; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "lab/topology.h"

namespace icon::lab {

inline constexpr std::size_t kFrameBytesMax =
    std::size_t{66} * 1024;  // a GSO packet with its headers
inline constexpr std::size_t kChunkBytes = std::size_t{512} * 1024;
inline constexpr std::size_t kLineBytesMax = 64u << 20;    // queued in one direction
inline constexpr std::size_t kPoolBytesMax = 1024u << 20;  // queued in all of them
inline constexpr std::int64_t kRateQueueNs = 100'000'000;  // waiting for a rate-limited link
inline constexpr std::size_t kWireOverheadBytes = 24;      // preamble, checksum, gap

// Memory for frames, in chunks that are used again while they are still in the cache.
class ChunkPool {
 public:
  using Chunk = std::unique_ptr<std::uint8_t[]>;
  Chunk take();  // null at the limit
  void give_back(Chunk chunk) { free_.push_back(std::move(chunk)); }

 private:
  std::vector<Chunk> free_;
  std::size_t chunks_made_ = 0;
};

struct LineCounters {
  std::uint64_t packets = 0;  // delivered, in packets as on a wire
  std::uint64_t bytes = 0;
  std::uint64_t lost = 0;
  std::uint64_t dropped = 0;
};

// What one frame is on the wire, where the kernel hands us many packets as one.
struct WireSize {
  std::size_t packets = 1;
  std::size_t bytes = 0;
};

class DelayLine {
 public:
  // `pool` is borrowed and must outlive this.
  DelayLine(ChunkPool& pool, std::uint64_t seed) : pool_(&pool), random_(seed | 1) {}

  // Applies to what is admitted from now on; going down loses what is under way.
  void set(const Shape& shape, bool up);
  // Room for the next frame, kFrameBytesMax long; empty when the queue is full (counts as dropped:
  // read the frame into a scratch buffer and forget it).
  std::span<std::uint8_t> reserve();
  void refuse(WireSize size) { counters_.dropped += size.packets; }
  // Takes the first `length` bytes of reserve()'s room as a frame that arrived at `now_ns`.
  void admit(std::size_t length, WireSize size, std::int64_t now_ns);

  bool empty() const { return frames_.empty(); }
  std::int64_t next_due_ns() const;  // INT64_MAX when empty
  std::span<const std::uint8_t> front() const;
  void pop();
  const LineCounters& counters() const { return counters_; }

 private:
  struct Frame {
    std::int64_t due_ns = 0;
    std::uint32_t offset = 0;  // in its chunk
    std::uint32_t length = 0;
    bool first_of_chunk = false;
    WireSize size;
  };
  double random_unit();
  void release_chunks();

  ChunkPool* pool_;
  std::uint64_t random_;
  std::int64_t delay_ns_ = 0;
  std::int64_t jitter_ns_ = 0;
  double ns_per_byte_ = 0;
  double loss_ = 0;
  bool up_ = true;
  std::int64_t departed_ns_ = 0;  // when the wire is free again
  std::int64_t last_due_ns_ = 0;
  std::deque<ChunkPool::Chunk> chunks_;
  std::size_t fill_ = 0;  // bytes used of the last chunk
  bool fresh_chunk_ = false;
  std::deque<Frame> frames_;
  LineCounters counters_;
};

}  // namespace icon::lab
