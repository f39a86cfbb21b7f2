#include "lab/load_checker.h"

#include <algorithm>

namespace icon::lab {
namespace {
constexpr std::size_t kSkippedMax = 64;
}

ReplyCounts& ReplyCounts::operator+=(const ReplyCounts& other) {
  right += other.right;
  lost += other.lost;
  duplicated += other.duplicated;
  reordered += other.reordered;
  wrong += other.wrong;
  return *this;
}

void ReplyChecker::sent(std::optional<std::string> expected) {
  owed_.push_back(std::move(expected));
}

bool ReplyChecker::fits(const std::optional<std::string>& expected,
                        std::string_view content) const {
  if (expected) return *expected == content;
  return !standard_ || *standard_ == content;
}

Verdict ReplyChecker::received(std::string_view content) {
  if (!owed_.empty() && fits(owed_.front(), content)) {
    if (!owed_.front() && !standard_) standard_ = content;
    owed_.pop_front();
    last_right_ = content;
    ++counts_.right;
    return Verdict::kRight;
  }
  // Before looking ahead: "+OK" twice in a row is a repetition, not the next SET's answer.
  if (last_right_ == content) {
    ++counts_.duplicated;
    return Verdict::kDuplicated;
  }
  const auto late = std::find(skipped_.begin(), skipped_.end(), content);
  if (late != skipped_.end()) {
    skipped_.erase(late);
    --counts_.lost;
    ++counts_.reordered;
    return Verdict::kReordered;
  }
  const auto ahead = std::find_if(owed_.begin(), owed_.end(),
                                  [&](const auto& expected) { return fits(expected, content); });
  if (ahead == owed_.end()) {
    // It stands in the place of the reply that was due: that one is not waited for any more.
    if (!owed_.empty()) owed_.pop_front();
    ++counts_.wrong;
    return Verdict::kWrong;
  }
  for (auto skipped = owed_.begin(); skipped != ahead; ++skipped) {
    ++counts_.lost;
    if (*skipped) skipped_.push_back(**skipped);
    if (skipped_.size() > kSkippedMax) skipped_.pop_front();
  }
  owed_.erase(owed_.begin(), std::next(ahead));
  last_right_ = content;
  ++counts_.right;
  return Verdict::kRight;
}

void ReplyChecker::give_up() {
  counts_.lost += owed_.size();
  owed_.clear();
}

}  // namespace icon::lab
