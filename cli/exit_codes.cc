#include "cli/exit_codes.h"

#include <utility>

namespace icon::cli {

std::string_view exit_codes_help() {
  return "Exit codes of icon:\n"
         "  0  ok\n"
         "  1  failed; for `icon check`: something needed is missing\n"
         "  2  usage: an argument, a policy or a file given is wrong\n"
         "  3  no supervisor answers on this host\n"
         "  4  not found: no ICON, migration or provider of that name\n"
         "  5  refused, or rolled back: the service runs on where it was; for `icon check ICON`:\n"
         "     something stands in the way of its move\n"
         "  6  timeout: nothing failed yet, but it took too long to wait for\n"
         "`icon lab exec` passes the program's own status on.\n";
}

ExitCode exit_code_of(Code code) {
  switch (code) {
    case Code::kInvalid:
      return kUsage;
    case Code::kNotFound:
      return kNotFound;
    case Code::kTimeout:
      return kTimedOut;
    case Code::kRefused:
    case Code::kUnauthenticated:
    case Code::kExpired:
    case Code::kConflict:
    case Code::kLimit:
      return kRefused;
    case Code::kIo:
    case Code::kUnavailable:
    case Code::kCancelled:
    case Code::kInternal:
      return kFailed;
  }
  return kFailed;
}

tl::unexpected<Failure> failure(const Error& error, std::string next_step) {
  return failure(exit_code_of(error.code), error.message, std::move(next_step));
}

tl::unexpected<Failure> failure(ExitCode exit_code, std::string message, std::string next_step) {
  return tl::unexpected<Failure>(Failure{exit_code, std::move(message), std::move(next_step)});
}

}  // namespace icon::cli
