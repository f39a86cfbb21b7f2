// What the `icon` command's exit status means. Scripts rely on these numbers: they never change.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace icon::cli {

enum ExitCode : int {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,  // an argument or a file of the caller is wrong
  kNoSupervisor = 3,
  kNotFound = 4,
  kRefused = 5,  // a peer or a policy said no; a migration was rolled back
  kTimedOut = 6,
};

// The text of `icon help exit-codes`.
std::string_view exit_codes_help();

// Why a command ends: what happened, and what to do next (may be empty).
struct Failure {
  ExitCode exit_code = kFailed;
  std::string message;
  std::string next_step;
};

ExitCode exit_code_of(Code code);
// With the exit code that fits the error's.
tl::unexpected<Failure> failure(const Error& error, std::string next_step = {});
tl::unexpected<Failure> failure(ExitCode exit_code, std::string message,
                                std::string next_step = {});

template <class T>
class [[nodiscard]] Outcome : public tl::expected<T, Failure> {
 public:
  using tl::expected<T, Failure>::expected;
};
using Done = Outcome<void>;

}  // namespace icon::cli

// CLI_TRY(auto x, expr): declares x from an Outcome, or returns its failure.
#define CLI_TRY(declaration, expression)                                       \
  auto ICON_CONCAT(outcome_, __LINE__) = (expression);                         \
  if (!ICON_CONCAT(outcome_, __LINE__))                                        \
    return tl::unexpected(std::move(ICON_CONCAT(outcome_, __LINE__)).error()); \
  declaration = std::move(*ICON_CONCAT(outcome_, __LINE__))
