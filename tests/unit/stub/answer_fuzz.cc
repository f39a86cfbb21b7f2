#include "tests/unit/stub/answer_fuzz.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "stub/answer.h"

namespace icon::stub {
namespace {

constexpr UtcMillis kNow = 1'700'000'000'000;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "answer_fuzz: %s\n", what);
  std::abort();
}

// Every line of the head is one that we wrote; only Location may hold a client's bytes.
void check_reply(const Answer& reply) {
  const std::string_view bytes = reply.bytes;
  const auto head_end = bytes.find("\r\n\r\n");
  require(head_end != std::string_view::npos, "an answer without an end of head");
  const auto head = bytes.substr(0, head_end);
  require(std::all_of(head.begin(), head.end(),
                      [](char c) { return c == '\r' || c == '\n' || (c >= ' ' && c <= '~'); }),
          "a control character or a byte beyond ASCII in the head");
  require(std::count(head.begin(), head.end(), '\n') <= 8, "a line that we did not write");
  const auto location = head.find("\r\nLocation: ");
  require((location != std::string_view::npos) == (reply.status == 307), "307 and Location differ");
  if (location != std::string_view::npos)
    require(head.substr(location).starts_with("\r\nLocation: http://198.51.100.7:8080/"),
            "Location leads elsewhere");
}

}  // namespace

void fuzz_answer(std::string_view bytes) {
  const auto outcome = parse_head(bytes);
  if (outcome.parsed != Parsed::kComplete) return;
  require(outcome.head_bytes > 0 && outcome.head_bytes <= bytes.size(), "head outside the input");
  const Route route{"abc", 80, "198.51.100.7", 8080, kNow + 60'000};
  check_reply(answer(outcome.head, &route, kNow, false));
  check_reply(answer(outcome.head, nullptr, kNow, true));
}

}  // namespace icon::stub

// The entry of libFuzzer and of the drivers that follow its interface.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  icon::stub::fuzz_answer({reinterpret_cast<const char*>(data), size});
  return 0;
}
