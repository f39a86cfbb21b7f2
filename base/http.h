// HTTP/1.1 as values, shared by the server (Boost.Beast) and the clients.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace icon::http {

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
};

Response json_response(int status, const json::Value& value);
// {"error":{"code":"not_found","message":".."}} with a status that fits the code.
Response error_response(const Error& error);
// The Error inside such a body, when `status` is not 2xx; the body itself otherwise.
Result<std::string> body_or_error(const Response& response);
int status_of(Code code);

}  // namespace icon::http
