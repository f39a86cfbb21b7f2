// A lower limit for what a source sends: whoever sends a byte now and then keeps no place. Pure.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/result.h"

namespace icon::supervisor {

class UploadPace {
 public:
  // A dump in between, during which nothing comes, has room in a window.
  static constexpr Millis kWindow{120'000};
  static constexpr std::uint64_t kBytesMin = 1 << 20;

  explicit UploadPace(SteadyTime now) : begin_(now) {}

  // Told of every piece. Errors: kTimeout: less than kBytesMin came within kWindow.
  Status take(SteadyTime now, std::uint64_t bytes) {
    bytes_ += bytes;
    if (now - begin_ < kWindow) return {};
    if (bytes_ < kBytesMin)
      return fail(Code::kTimeout, "only " + std::to_string(bytes_) + " bytes came within " +
                                      std::to_string(kWindow.count() / 1000) + " s");
    begin_ = now;
    bytes_ = 0;
    return {};
  }

 private:
  SteadyTime begin_;
  std::uint64_t bytes_ = 0;
};

}  // namespace icon::supervisor
