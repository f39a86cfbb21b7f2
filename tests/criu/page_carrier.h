// What carries a page stream from its source, as a move's request does, without a network.
#pragma once

#include <gtest/gtest.h>

#include <span>

#include "migration/memory/page_source.h"
#include "migration/move_stream.h"

namespace icon::migration::test {

// Reads the source to its end; page frames go to `take` (a callable that returns Task<Status>),
// marks are acknowledged at once.
template <class Take>
Task<void> carry(PageSource& source, Take take) {
  FrameReader frames;
  for (;;) {
    const auto bytes = co_await source.next();
    EXPECT_TRUE(bytes) << (bytes ? "" : bytes.error().message);
    if (!bytes || bytes->empty()) co_return;
    std::span<const char> rest = *bytes;
    for (;;) {
      const auto piece = frames.next(rest);
      EXPECT_TRUE(piece) << (piece ? "" : piece.error().message);
      if (!piece || !*piece) break;
      if ((*piece)->frame.kind == FrameHeader::Kind::kMark) {
        source.acknowledge((*piece)->frame.count);
        continue;
      }
      if ((*piece)->begins) {
        const auto raw = (*piece)->frame.encode();
        const std::string header(raw.begin(), raw.end());
        const auto taken = co_await take(std::span<const char>(header));
        EXPECT_TRUE(taken) << (taken ? "" : taken.error().message);
      }
      if (!(*piece)->bytes.empty()) {
        const auto taken = co_await take((*piece)->bytes);
        EXPECT_TRUE(taken) << (taken ? "" : taken.error().message);
      }
    }
  }
}

inline Task<void> until_converged(PageSource& source) {
  for (;;) {
    const auto mark = co_await source.next_mark();
    EXPECT_TRUE(mark) << (mark ? "" : mark.error().message);
    if (!mark || *mark == 0) co_return;
  }
}

}  // namespace icon::migration::test
