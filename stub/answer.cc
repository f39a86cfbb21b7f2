#include "stub/answer.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <ctime>
#include <iterator>

#include "base/address.h"

namespace icon::stub {
namespace {

namespace bhttp = boost::beast::http;

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kHeadEnd = "\r\n\r\n";
constexpr std::size_t kMethodBytesMax = 16;

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

// pchar, "/" and "?" of RFC 3986, without "%".
bool is_target_character(char c) {
  constexpr std::string_view kMarks = "-._~!$&'()*+,;=:@/?";
  return is_upper(c) || is_digit(c) || (c >= 'a' && c <= 'z') ||
         kMarks.find(c) != std::string_view::npos;
}

// False as soon as `line`, perhaps still incomplete, cannot become "METHOD target HTTP/1.x".
bool may_be_request_line(std::string_view line, bool complete) {
  const auto method_end = std::find_if_not(line.begin(), line.end(), is_upper) - line.begin();
  const auto method_bytes = static_cast<std::size_t>(method_end);
  if (method_bytes > kMethodBytesMax) return false;
  if (method_bytes < line.size() && (method_bytes == 0 || line[method_bytes] != ' ')) return false;
  return !complete || line.ends_with(" HTTP/1.1") || line.ends_with(" HTTP/1.0");
}

bool known_method(std::string_view method) {
  constexpr std::string_view kMethods[] = {"GET",    "HEAD",  "POST",   "PUT",
                                           "DELETE", "PATCH", "OPTIONS"};
  return std::find(std::begin(kMethods), std::end(kMethods), method) != std::end(kMethods);
}

std::string_view reason(int status) {
  switch (status) {
    case 307:
      return "Temporary Redirect";
    case 400:
      return "Bad Request";
    case 408:
      return "Request Timeout";
    case 414:
      return "URI Too Long";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    default:
      return "Service Unavailable";
  }
}

std::string_view explanation(int status) {
  switch (status) {
    case 307:
      return "This service has moved closer to its users: follow Location.\n";
    case 429:
      return "Too many requests: slow down.\n";
    case 503:
      return "This service is moving: try again in a moment.\n";
    default:
      return "This host only redirects well-formed HTTP/1 requests.\n";
  }
}

// `fields` are complete lines.
Answer compose(int status, AnswerKind kind, const std::string& fields, bool with_body, bool close,
               UtcMillis now_ms) {
  const auto body = explanation(status);
  Answer result{status, kind, {}, close};
  result.bytes = "HTTP/1.1 " + std::to_string(status) + ' ' + std::string(reason(status)) +
                 "\r\nDate: " + http_date(now_ms) + "\r\n" + fields +
                 "Content-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) +
                 "\r\nConnection: " + (close ? "close" : "keep-alive") + "\r\n\r\n";
  if (with_body) result.bytes += body;
  return result;
}

std::string authority(const Route& route) {
  const bool is_v6 = route.host.find(':') != std::string::npos;
  return (is_v6 ? '[' + route.host + ']' : route.host) + ':' + std::to_string(route.port);
}

}  // namespace

ParseOutcome parse_head(std::string_view bytes) {
  // An empty line before a request is to be ignored (RFC 9112, 2.2); one, not a stream of them.
  const std::size_t skipped = bytes.starts_with(kLineEnd) ? kLineEnd.size() : 0;
  if (skipped == 0 && bytes == "\r") return {};
  const auto text = bytes.substr(skipped, kHeadBytesMax);
  const auto line_end = text.find(kLineEnd);
  if (!may_be_request_line(text.substr(0, line_end), line_end != std::string_view::npos))
    return {Parsed::kNotHttp, {}, 0};
  const auto head_end = text.find(kHeadEnd);
  if (head_end == std::string_view::npos)
    return {text.size() == kHeadBytesMax ? Parsed::kTooLarge : Parsed::kNeedMore, {}, 0};

  const std::size_t head_bytes = head_end + kHeadEnd.size();
  bhttp::request_parser<bhttp::empty_body> parser;
  parser.header_limit(kHeadBytesMax);
  parser.body_limit(boost::none);  // the body is never read
  boost::system::error_code error;
  parser.put(boost::asio::buffer(text.data(), head_bytes), error);
  if (error && error != bhttp::error::need_more) return {Parsed::kNotHttp, {}, 0};
  if (!parser.is_header_done()) return {Parsed::kNotHttp, {}, 0};

  const auto& message = parser.get();
  if (std::distance(message.begin(), message.end()) > kFieldsMax) return {Parsed::kTooLarge, {}, 0};
  // The parser owns its strings and dies here: take views of the caller's bytes instead.
  const auto line = text.substr(0, line_end);
  const auto method_end = line.find(' ');
  const auto target_end = line.rfind(' ');
  ParseOutcome outcome{Parsed::kComplete, {}, skipped + head_bytes};
  outcome.head.method = line.substr(0, method_end);
  if (target_end > method_end)
    outcome.head.target = line.substr(method_end + 1, target_end - method_end - 1);
  outcome.head.http_1_1 = message.version() == 11;
  outcome.head.keep_alive = message.keep_alive();
  outcome.head.has_body = parser.chunked() || parser.content_length().value_or(0) > 0;
  outcome.head.host_is_valid = !outcome.head.http_1_1 || message.count(bhttp::field::host) == 1;
  return outcome;
}

bool is_safe_target(std::string_view target) {
  if (target.empty() || target.size() > kTargetBytesMax || target[0] != '/') return false;
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (target[i] == '%') {
      if (i + 2 >= target.size() || !is_hex(target[i + 1]) || !is_hex(target[i + 2])) return false;
      i += 2;
    } else if (!is_target_character(target[i])) {
      return false;
    }
  }
  return true;
}

Answer answer(const RequestHead& head, const Route* route, UtcMillis now_ms, bool last) {
  if (!known_method(head.method)) return rejection(501, now_ms);
  if (head.target.size() > kTargetBytesMax) return rejection(414, now_ms);
  if (!head.host_is_valid || !is_safe_target(head.target)) return rejection(400, now_ms);

  // After an unread body the connection's bytes cannot be trusted to begin a request.
  const bool close = last || !head.keep_alive || head.has_body;
  const bool with_body = head.method != "HEAD";
  if (route == nullptr || route->host.empty()) {
    return compose(
        503, AnswerKind::kUnavailable,
        "Retry-After: " + std::to_string(kRetryAfterSeconds) + "\r\nCache-Control: no-store\r\n",
        with_body, close, now_ms);
  }
  const auto left_seconds = std::max<std::int64_t>(0, (route->expires_ms - now_ms) / 1000);
  const auto age = std::to_string(std::min({kMaxAgeSeconds, route->remember_s, left_seconds}));
  const auto where = authority(*route);
  // RFC 7838, section 3: a protocol's name is a token, so "/" in "http/1.1" is percent-encoded.
  return compose(307, AnswerKind::kRedirected,
                 "Location: http://" + where + std::string(head.target) +
                     "\r\nCache-Control: max-age=" + age + "\r\nAlt-Svc: http%2F1.1=\"" + where +
                     "\"; ma=" + age + "\r\n",
                 with_body, close, now_ms);
}

Answer rejection(int status, UtcMillis now_ms) {
  std::string fields = "Cache-Control: no-store\r\n";
  if (status == 429) fields += "Retry-After: " + std::to_string(kRetryAfterSeconds) + "\r\n";
  return compose(status, AnswerKind::kRejected, fields, true, true, now_ms);
}

std::string http_date(UtcMillis utc_ms) {
  // Not strftime: day and month names must not follow a locale.
  constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = static_cast<std::time_t>(utc_ms / 1000);
  std::tm parts{};
  if (gmtime_r(&seconds, &parts) == nullptr) return "Thu, 01 Jan 1970 00:00:00 GMT";
  char text[64];
  std::snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", kDays[parts.tm_wday],
                parts.tm_mday, kMonths[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour,
                parts.tm_min, parts.tm_sec);
  return text;
}

}  // namespace icon::stub
