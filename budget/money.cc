#include "budget/money.h"

#include <limits>

namespace icon::budget {
namespace {

constexpr int kDecimals = 6;

tl::unexpected<Error> overflow() {
  return fail(Code::kLimit, "an amount of money does not fit into 64 bits");
}

tl::unexpected<Error> not_credits(std::string_view text, std::string_view why) {
  return fail(Code::kInvalid, "not an amount in credits: '" + std::string(text.substr(0, 40)) +
                                  "' (" + std::string(why) + ")");
}

}  // namespace

Result<MicroCredits> add(MicroCredits a, MicroCredits b) {
  MicroCredits sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return overflow();
  return sum;
}

Result<MicroCredits> subtract(MicroCredits a, MicroCredits b) {
  MicroCredits difference = 0;
  if (__builtin_sub_overflow(a, b, &difference)) return overflow();
  return difference;
}

Result<MicroCredits> multiply(MicroCredits amount, std::int64_t factor) {
  MicroCredits product = 0;
  if (__builtin_mul_overflow(amount, factor, &product)) return overflow();
  return product;
}

Result<MicroCredits> scale(MicroCredits amount, std::int64_t numerator, std::int64_t denominator) {
  if (denominator < 1) return fail(Code::kInvalid, "scale: the denominator is not positive");
  const auto product = static_cast<__int128>(amount) * numerator;
  auto quotient = product / denominator;
  if (product % denominator < 0) --quotient;
  if (quotient > std::numeric_limits<MicroCredits>::max() ||
      quotient < std::numeric_limits<MicroCredits>::min())
    return overflow();
  return static_cast<MicroCredits>(quotient);
}

Result<MicroCredits> parse_credits(std::string_view text) {
  MicroCredits value = 0;
  int decimals = -1;  // -1: no point yet
  bool digits = false;
  for (const char c : text) {
    if (c == '.' && decimals < 0 && digits) {
      decimals = 0;
      continue;
    }
    if (c < '0' || c > '9') return not_credits(text, "digits and one point, like 1.25");
    digits = true;
    if (decimals >= 0 && ++decimals > kDecimals)
      return not_credits(text, "at most six decimals: the unit is a millionth");
    value = value * 10 + (c - '0');
    if (value > kMicroCreditsMax) return not_credits(text, "too large");
  }
  if (!digits || decimals == 0) return not_credits(text, "digits and one point, like 1.25");
  for (int i = std::max(decimals, 0); i < kDecimals; ++i) {
    value *= 10;
    if (value > kMicroCreditsMax) return not_credits(text, "too large");
  }
  return value;
}

std::string format_credits(MicroCredits amount) {
  const bool negative = amount < 0;
  const auto magnitude =
      negative ? 0 - static_cast<std::uint64_t>(amount) : static_cast<std::uint64_t>(amount);
  std::string text = std::to_string(magnitude / kMicroCreditsPerCredit);
  std::string fraction = std::to_string(magnitude % kMicroCreditsPerCredit);
  fraction.insert(0, kDecimals - fraction.size(), '0');
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  if (!fraction.empty()) text += "." + fraction;
  return negative ? "-" + text : text;
}

}  // namespace icon::budget
