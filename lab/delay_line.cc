#include "lab/delay_line.h"

#include <algorithm>
#include <limits>

#include "base/assert.h"

namespace icon::lab {

ChunkPool::Chunk ChunkPool::take() {
  if (!free_.empty()) {
    Chunk chunk = std::move(free_.back());
    free_.pop_back();
    return chunk;
  }
  if ((chunks_made_ + 1) * kChunkBytes > kPoolBytesMax) return nullptr;
  ++chunks_made_;
  return Chunk(new std::uint8_t[kChunkBytes]);
}

void DelayLine::set(const Shape& shape, bool up) {
  delay_ns_ = static_cast<std::int64_t>(shape.delay_ms * 1e6);
  jitter_ns_ = static_cast<std::int64_t>(shape.jitter_ms * 1e6);
  ns_per_byte_ = shape.rate_mbit > 0 ? 8e3 / shape.rate_mbit : 0;
  loss_ = shape.loss_percent / 100;
  departed_ns_ = 0;
  if (up_ && !up) {
    for (const auto& frame : frames_) counters_.lost += frame.size.packets;
    frames_.clear();
    release_chunks();
    last_due_ns_ = 0;
  }
  up_ = up;
}

void DelayLine::release_chunks() {
  for (auto& chunk : chunks_) pool_->give_back(std::move(chunk));
  chunks_.clear();
  fill_ = 0;
}

std::span<std::uint8_t> DelayLine::reserve() {
  if (chunks_.empty() || fill_ + kFrameBytesMax > kChunkBytes) {
    if ((chunks_.size() + 1) * kChunkBytes > kLineBytesMax) return {};
    auto chunk = pool_->take();
    if (!chunk) return {};
    chunks_.push_back(std::move(chunk));
    fill_ = 0;
    fresh_chunk_ = true;
  }
  return {chunks_.back().get() + fill_, kFrameBytesMax};
}

void DelayLine::admit(std::size_t length, WireSize size, std::int64_t now_ns) {
  ICON_ASSERT(length <= kFrameBytesMax && !chunks_.empty());
  if (!up_ || (loss_ > 0 && random_unit() < loss_)) {
    counters_.lost += size.packets;
    return;
  }
  departed_ns_ = std::max(departed_ns_, now_ns);
  if (ns_per_byte_ > 0) {
    if (departed_ns_ - now_ns > kRateQueueNs) {
      counters_.dropped += size.packets;
      return;
    }
    const auto wire_bytes = size.bytes + size.packets * kWireOverheadBytes;
    departed_ns_ += static_cast<std::int64_t>(static_cast<double>(wire_bytes) * ns_per_byte_);
  }
  std::int64_t due = departed_ns_ + delay_ns_;
  if (jitter_ns_ > 0) {
    // The sum of three is close enough to a bell curve and has a hard limit.
    const double bell = (random_unit() + random_unit() + random_unit() - 1.5) / 1.5;
    due += static_cast<std::int64_t>(bell * static_cast<double>(jitter_ns_));
  }
  last_due_ns_ = std::max({last_due_ns_, due, now_ns});
  frames_.push_back({last_due_ns_, static_cast<std::uint32_t>(fill_),
                     static_cast<std::uint32_t>(length), fresh_chunk_, size});
  fresh_chunk_ = false;
  fill_ += (length + 15) & ~std::size_t{15};
}

std::int64_t DelayLine::next_due_ns() const {
  return frames_.empty() ? std::numeric_limits<std::int64_t>::max() : frames_.front().due_ns;
}

std::span<const std::uint8_t> DelayLine::front() const {
  ICON_ASSERT(!frames_.empty());
  return {chunks_.front().get() + frames_.front().offset, frames_.front().length};
}

void DelayLine::pop() {
  ICON_ASSERT(!frames_.empty());
  counters_.packets += frames_.front().size.packets;
  counters_.bytes += frames_.front().size.bytes;
  frames_.pop_front();
  if (frames_.empty()) {
    release_chunks();
  } else if (frames_.front().first_of_chunk) {
    pool_->give_back(std::move(chunks_.front()));
    chunks_.pop_front();
  }
}

double DelayLine::random_unit() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return static_cast<double>(random_ >> 11) * 0x1p-53;
}

}  // namespace icon::lab
