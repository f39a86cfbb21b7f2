// What the world can do to us is a value: Result<T> holds a T or an Error that says what was
// attempted. Our own bugs are ICON_ASSERT (base/assert.h).
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace icon {

enum class Code {
  kInvalid,  // malformed, oversized or contradictory input
  kNotFound,
  kTimeout,
  kIo,               // the kernel or the network said no
  kRefused,          // a peer or a policy said no
  kUnauthenticated,  // wrong key, bad signature
  kExpired,
  kConflict,     // state forbids it: not a newer epoch, a name already taken
  kLimit,        // a named limit was reached
  kUnavailable,  // a needed part is missing; the message says how to get it
  kCancelled,
  kInternal,
};

// Stable lower-case name, used in logs, JSON errors and metrics: "not_found".
std::string_view to_string(Code code);
// The inverse; kInternal for a name that is not known.
Code code_from_string(std::string_view name);

struct Error {
  Code code = Code::kInternal;
  std::string message;  // what happened, to what, and what to do next
};

template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

using Status = Result<void>;

inline tl::unexpected<Error> fail(Code code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}
inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }
// "<what>: <strerror(errno)>"; ENOENT and ESRCH become kNotFound, EPERM and EACCES kRefused, the
// rest kIo.
tl::unexpected<Error> fail_errno(std::string_view what);
tl::unexpected<Error> fail_errno(std::string_view what, int errno_value);

}  // namespace icon

#define ICON_CONCAT_(a, b) a##b
#define ICON_CONCAT(a, b) ICON_CONCAT_(a, b)
// ICON_TRY(auto x, expr): declares x from a Result, or returns its error.
#define ICON_TRY(declaration, expression)                        \
  auto ICON_CONCAT(result_, __LINE__) = (expression);            \
  if (!ICON_CONCAT(result_, __LINE__))                           \
    return ::icon::fail(ICON_CONCAT(result_, __LINE__).error()); \
  declaration = std::move(*ICON_CONCAT(result_, __LINE__))
// The same inside a coroutine.
#define ICON_CO_TRY(declaration, expression)                        \
  auto ICON_CONCAT(result_, __LINE__) = (expression);               \
  if (!ICON_CONCAT(result_, __LINE__))                              \
    co_return ::icon::fail(ICON_CONCAT(result_, __LINE__).error()); \
  declaration = std::move(*ICON_CONCAT(result_, __LINE__))
// ICON_CHECK(expr): returns the error of a Status, goes on when it is fine.
#define ICON_CHECK(expression)                                                       \
  do {                                                                               \
    if (auto status_ = (expression); !status_) return ::icon::fail(status_.error()); \
  } while (false)
#define ICON_CO_CHECK(expression)                                                       \
  do {                                                                                  \
    if (auto status_ = (expression); !status_) co_return ::icon::fail(status_.error()); \
  } while (false)
