#include "base/http.h"

#include <boost/json/serialize.hpp>

namespace icon::http {

int status_of(Code code) {
  switch (code) {
    case Code::kInvalid:
      return 400;
    case Code::kUnauthenticated:
      return 401;
    case Code::kRefused:
      return 403;
    case Code::kNotFound:
      return 404;
    case Code::kConflict:
      return 409;
    case Code::kExpired:
      return 410;
    case Code::kLimit:
      return 413;
    case Code::kIo:
      return 502;
    case Code::kUnavailable:
    case Code::kCancelled:
      return 503;
    case Code::kTimeout:
      return 504;
    case Code::kInternal:
      return 500;
  }
  return 500;
}

Response json_response(int status, const json::Value& value) {
  return {status, "application/json", boost::json::serialize(value) + "\n"};
}

Response error_response(const Error& error) {
  return json_response(status_of(error.code),
                       json::Object{{"error", json::Object{{"code", to_string(error.code)},
                                                           {"message", error.message}}}});
}

Result<std::string> body_or_error(const Response& response) {
  if (response.status >= 200 && response.status < 300) return response.body;
  constexpr std::size_t kErrorBytesMax = 64 << 10;
  if (const auto body = json::parse_object(response.body, kErrorBytesMax)) {
    if (const auto error = json::get_object(*body, "error")) {
      const auto code = json::get_string(**error, "code");
      const auto message = json::get_string(**error, "message", kErrorBytesMax);
      if (code && message) return fail(code_from_string(*code), *message);
    }
  }
  return fail(Code::kIo, "HTTP status " + std::to_string(response.status));
}

}  // namespace icon::http
