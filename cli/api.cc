#include "cli/api.h"

#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <optional>

#include "base/http_client.h"

namespace icon::cli {
namespace {

constexpr std::size_t kMessageBytesMax = 64 << 10;

Outcome<json::Object> parsed(Outcome<std::string> text) {
  if (!text) return tl::unexpected(std::move(text).error());
  auto object = json::parse_object(*text, Api::kAnswerBytesMax, json::kOwnDepthMax);
  if (!object)
    return failure(kFailed, "the supervisor's answer cannot be read: " + object.error().message,
                   "Is the supervisor of the same version as this command?");
  return std::move(*object);
}

// The error of {"error":{"code","message"}}; events of a migration have a text of that name.
std::optional<Error> refusal_in(const json::Object& line) {
  const auto* error = line.if_contains("error");
  if (error == nullptr || !error->is_object()) return std::nullopt;
  const auto code = json::get_string(error->get_object(), "code");
  const auto message = json::get_string(error->get_object(), "message", kMessageBytesMax);
  if (!code || !message) return std::nullopt;
  return Error{code_from_string(*code), *message};
}

}  // namespace

std::string url_encode(std::string_view text) {
  constexpr const char* kHex = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
        c == '.' || c == '_' || c == '~') {
      encoded += c;
    } else {
      encoded += '%';
      encoded += kHex[byte >> 4];
      encoded += kHex[byte & 15];
    }
  }
  return encoded;
}

tl::unexpected<Failure> Api::transport_failure(const Error& error) const {
  if (error.code == Code::kTimeout)
    return failure(kTimedOut, "the supervisor at " + socket_path_ + " did not answer in time",
                   "It may be busy: try again, or look at its log.");
  if (access(socket_path_.c_str(), F_OK) != 0)
    return failure(kNoSupervisor, "no supervisor on this host: " + socket_path_ + " does not exist",
                   "Start one (icon-supervisor --config FILE), or name its socket with --socket "
                   "or ICON_SOCKET.");
  if (access(socket_path_.c_str(), W_OK) != 0)
    return failure(kNoSupervisor, "not allowed to use " + socket_path_,
                   "Run this as root, for example with sudo.");
  return failure(kNoSupervisor, "no supervisor answers at " + socket_path_ + ": " + error.message,
                 "Is it running? Start it with icon-supervisor --config FILE.");
}

Outcome<std::string> Api::call(const std::string& method, const std::string& target,
                               const std::string& body, Millis timeout) const {
  http::UnixRequest request;
  request.socket_path = socket_path_;
  request.method = method;
  request.target = target;
  request.body = body;
  request.timeout = timeout;
  request.response_bytes_max = kAnswerBytesMax;
  const auto response = http::request_blocking(std::move(request));
  if (!response) return transport_failure(response.error());
  auto text = http::body_or_error(*response);
  if (!text) return failure(text.error());
  return std::move(*text);
}

Outcome<std::string> Api::get(const std::string& target) const {
  return call("GET", target, "", kTimeout);
}

Outcome<std::string> Api::post(const std::string& target, const json::Object& body) const {
  return call("POST", target, boost::json::serialize(body), kTimeout);
}

Outcome<std::string> Api::remove(const std::string& target, Millis timeout) const {
  return call("DELETE", target, "", timeout);
}

Outcome<json::Object> Api::get_object(const std::string& target) const {
  return parsed(get(target));
}

Outcome<json::Object> Api::post_object(const std::string& target, const json::Object& body,
                                       Millis timeout) const {
  return parsed(call("POST", target, boost::json::serialize(body), timeout));
}

Done Api::stream(const std::string& target, const std::function<bool(const json::Object&)>& on_line,
                 Millis idle_max) const {
  http::UnixRequest request;
  request.socket_path = socket_path_;
  request.target = target;
  request.timeout = kTimeout;
  bool heard = false;
  // A refusal may come as a line, because the answer's status was sent before it was known.
  std::optional<Error> refusal;
  const auto ended =
      http::stream_lines_blocking(std::move(request), idle_max, [&](std::string_view line) {
        heard = true;
        const auto object = json::parse_object(line, kAnswerBytesMax, json::kOwnDepthMax);
        if (object) refusal = refusal_in(*object);
        return !refusal && (!object || on_line(*object));
      });
  if (refusal) return failure(*refusal);
  if (ended) return {};
  // A stream that spoke came from a supervisor; one that did not may have none behind it.
  if (!heard && (ended.error().code == Code::kIo || access(socket_path_.c_str(), W_OK) != 0))
    return transport_failure(ended.error());
  return failure(ended.error());
}

}  // namespace icon::cli
