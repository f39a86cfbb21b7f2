// A short run of the fuzz entry with mutated requests; the seed is printed when it fails.
#include "tests/unit/stub/answer_fuzz.h"

#include <gtest/gtest.h>

#include <iterator>
#include <random>
#include <string>

namespace icon::stub {
namespace {

constexpr int kInputs = 50'000;

constexpr const char* kSeeds[] = {
    "GET /a/b?c=d HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "\r\nHEAD /%41 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
};
constexpr const char* kPieces[] = {"\r\n", "\r",      "\n",       " ",        "%0d%0a",
                                   "%",    "http://", "HTTP/1.1", "\r\n\r\n", ":",
                                   "//",   "\t",      "\x7f",     "\xff",     "GET "};

std::string mutated(std::mt19937& random) {
  const auto below = [&](std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
  };
  std::string text = kSeeds[below(std::size(kSeeds))];
  for (std::size_t change = below(6) + 1; change > 0 && !text.empty(); --change) {
    const auto at = below(text.size());
    switch (below(4)) {
      case 0:
        text[at] = static_cast<char>(below(256));
        break;
      case 1:
        text.erase(at, below(4) + 1);
        break;
      case 2:
        text.insert(at, kPieces[below(std::size(kPieces))]);
        break;
      default:
        text.insert(at, text.substr(below(text.size()), below(16)));
        break;
    }
  }
  return text;
}

TEST(AnswerFuzz, KeepsItsPropertiesOnMutatedRequests) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::fprintf(stderr, "answer_fuzz seed: %u\n", seed);
  std::mt19937 random(seed);
  for (int i = 0; i < kInputs; ++i) fuzz_answer(mutated(random));
}

}  // namespace
}  // namespace icon::stub
