// What the redirector says: a request's head in, an answer's bytes out. Pure and total: any bytes
// give an answer or "close", never an exception. The only part of a request that is ever repeated
// in an answer is an origin-form target that passed is_safe_target().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "stub/route.h"

namespace icon::stub {

inline constexpr std::size_t kHeadBytesMax = 8 << 10;
inline constexpr std::size_t kTargetBytesMax = 4 << 10;
inline constexpr int kFieldsMax = 100;
// How long a client or a cache may remember the redirection; the lease's end may be sooner.
inline constexpr std::int64_t kMaxAgeSeconds = 300;
inline constexpr int kRetryAfterSeconds = 1;

// Views into the bytes that were parsed.
struct RequestHead {
  std::string_view method;
  std::string_view target;
  bool http_1_1 = true;
  bool keep_alive = true;
  bool has_body = false;
  bool host_is_valid = true;  // exactly one Host field, as HTTP/1.1 demands (RFC 9112, 3.2)
};

enum class Parsed {
  kComplete,
  kNeedMore,
  kTooLarge,  // deserves a 431
  kNotHttp,   // deserves nothing: close
};

struct ParseOutcome {
  Parsed parsed = Parsed::kNeedMore;
  RequestHead head;            // when kComplete
  std::size_t head_bytes = 0;  // when kComplete: where the next byte after the head is
};

// `bytes` is everything received so far on this connection that is not yet answered. Anything that
// does not begin like a request is kNotHttp at once, not when a limit is reached.
ParseOutcome parse_head(std::string_view bytes);

// Origin form ("/path?query") of RFC 3986 characters only, percent signs followed by two hex
// digits, at most kTargetBytesMax.
bool is_safe_target(std::string_view target);

enum class AnswerKind { kRedirected, kUnavailable, kRejected };

struct Answer {
  int status = 0;
  AnswerKind kind = AnswerKind::kRejected;
  std::string bytes;  // head and body
  bool close = true;
};

// `route` may be null: 503 with Retry-After. `last` closes the connection after this answer.
Answer answer(const RequestHead& head, const Route* route, UtcMillis now_ms, bool last);
// For what could not be parsed or comes too fast: 400, 408, 429, 431. Closes.
Answer rejection(int status, UtcMillis now_ms);

// "Tue, 15 Nov 1994 08:12:31 GMT" (RFC 9110, 5.6.7).
std::string http_date(UtcMillis utc_ms);

}  // namespace icon::stub
