// 32 bytes that nobody may find afterwards: wiped when they go. Never logged.
#pragma once

#include "supervisor/tunnel/wg/messages.h"

namespace icon::tunnel::wg {

void wipe(MutableBytes secret);

class Secret {
 public:
  Secret() = default;
  explicit Secret(const Key& bytes) : bytes_(bytes) {}
  Secret(const Secret&) = default;
  Secret& operator=(const Secret&) = default;
  ~Secret() { wipe(bytes_); }
  static Secret random();

  const Key& bytes() const { return bytes_; }
  Key& bytes() { return bytes_; }
  const std::uint8_t* data() const { return bytes_.data(); }
  std::uint8_t* data() { return bytes_.data(); }
  bool is_zero() const;
  bool equals(const Secret& other) const;  // constant time

 private:
  Key bytes_{};
};

}  // namespace icon::tunnel::wg
