// The supervisor's API (docs/api.md, section 2) as the commands use it: blocking, with errors that
// say what to do next.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/json.h"
#include "cli/exit_codes.h"

namespace icon::cli {

class Api {
 public:
  static constexpr std::size_t kAnswerBytesMax = 32 << 20;
  static constexpr Millis kTimeout{30'000};
  static constexpr Millis kIdleMax{24 * 3600 * 1000};  // of a stream that may be silent for long

  explicit Api(std::string socket_path) : socket_path_(std::move(socket_path)) {}

  // Each: the answer's text. Failures: kNoSupervisor when nobody listens on the socket or we may
  // not connect; else by the code in the answer.
  Outcome<std::string> get(const std::string& target) const;
  Outcome<std::string> post(const std::string& target, const json::Object& body) const;
  Outcome<std::string> remove(const std::string& target, Millis timeout) const;
  // The same, parsed.
  Outcome<json::Object> get_object(const std::string& target) const;
  Outcome<json::Object> post_object(const std::string& target, const json::Object& body,
                                    Millis timeout = kTimeout) const;

  // JSON lines until the supervisor ends them or `on_line` returns false. Lines that are no JSON
  // objects are skipped.
  Done stream(const std::string& target, const std::function<bool(const json::Object&)>& on_line,
              Millis idle_max = kIdleMax) const;

 private:
  Outcome<std::string> call(const std::string& method, const std::string& target,
                            const std::string& body, Millis timeout) const;
  tl::unexpected<Failure> transport_failure(const Error& error) const;
  std::string socket_path_;
};

// "a b/c" -> "a%20b%2Fc": for names inside a target.
std::string url_encode(std::string_view text);

}  // namespace icon::cli
