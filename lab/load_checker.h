// Judges the replies of one connection: which were right, lost, repeated, out of order or wrong.
// Pure.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace icon::lab {

enum class Verdict { kRight, kDuplicated, kReordered, kWrong };

struct ReplyCounts {
  std::uint64_t right = 0;
  std::uint64_t lost = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t reordered = 0;
  std::uint64_t wrong = 0;

  ReplyCounts& operator+=(const ReplyCounts& other);
  bool operator==(const ReplyCounts&) const = default;
};

class ReplyChecker {
 public:
  // A request went out; this is its only right reply (nullopt: the first one sets the standard).
  void sent(std::optional<std::string> expected);
  // A whole reply came. A reply that fits a later request means that those before it are lost;
  // should one of them still come, it was out of order instead.
  Verdict received(std::string_view content);
  // The connection ended, or nobody waits any longer: what is owed is lost.
  void give_up();

  std::size_t owed() const { return owed_.size(); }
  const ReplyCounts& counts() const { return counts_; }

 private:
  bool fits(const std::optional<std::string>& expected, std::string_view content) const;

  std::deque<std::optional<std::string>> owed_;
  std::deque<std::string> skipped_;  // given up, newest last, at most kSkippedMax
  std::optional<std::string> standard_;
  std::optional<std::string> last_right_;
  ReplyCounts counts_;
};

}  // namespace icon::lab
