#include "base/result.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace icon {
namespace {

constexpr std::array<std::pair<Code, std::string_view>, 12> kNames{{
    {Code::kInvalid, "invalid"},
    {Code::kNotFound, "not_found"},
    {Code::kTimeout, "timeout"},
    {Code::kIo, "io"},
    {Code::kRefused, "refused"},
    {Code::kUnauthenticated, "unauthenticated"},
    {Code::kExpired, "expired"},
    {Code::kConflict, "conflict"},
    {Code::kLimit, "limit"},
    {Code::kUnavailable, "unavailable"},
    {Code::kCancelled, "cancelled"},
    {Code::kInternal, "internal"},
}};

Code code_of_errno(int value) {
  switch (value) {
    case ENOENT:
    case ESRCH:
      return Code::kNotFound;
    case EPERM:
    case EACCES:
      return Code::kRefused;
    case ETIMEDOUT:
      return Code::kTimeout;
    default:
      return Code::kIo;
  }
}

}  // namespace

std::string_view to_string(Code code) {
  for (const auto& [value, name] : kNames)
    if (value == code) return name;
  return "internal";
}

Code code_from_string(std::string_view name) {
  for (const auto& [value, text] : kNames)
    if (text == name) return value;
  return Code::kInternal;
}

tl::unexpected<Error> fail_errno(std::string_view what) { return fail_errno(what, errno); }

tl::unexpected<Error> fail_errno(std::string_view what, int errno_value) {
  return fail(code_of_errno(errno_value),
              std::string(what) + ": " + std::generic_category().message(errno_value));
}

}  // namespace icon
