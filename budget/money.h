// Money is an integer number of micro-credits. Sums that do not fit are errors, never wrapped:
// a purse that overflows is a purse that gives money away.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "wire/documents.h"

namespace icon::budget {

using wire::kMicroCreditsMax;
using wire::MicroCredits;
inline constexpr MicroCredits kMicroCreditsPerCredit = 1'000'000;

// Errors: kLimit when the result does not fit into 64 bits.
Result<MicroCredits> add(MicroCredits a, MicroCredits b);
Result<MicroCredits> subtract(MicroCredits a, MicroCredits b);
Result<MicroCredits> multiply(MicroCredits amount, std::int64_t factor);
// amount * numerator / denominator, exact in between, rounded down (towards minus infinity).
// Errors: kLimit; kInvalid for a denominator below 1.
Result<MicroCredits> scale(MicroCredits amount, std::int64_t numerator, std::int64_t denominator);

// "1.25" credits -> 1250000. At most six decimals, no sign, no exponent, at most kMicroCreditsMax.
// Errors: kInvalid.
Result<MicroCredits> parse_credits(std::string_view text);
// The shortest text that parse_credits reads back: "1.25", "0.0004", "3". A debt has a sign.
std::string format_credits(MicroCredits amount);

}  // namespace icon::budget
