#include "lab/load_protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

namespace icon::lab {
namespace {

constexpr std::size_t kLineBytesMax = 64 << 10;

using Parsed = Result<std::optional<ParsedReply>>;

// The line at `from` without its CRLF, and where the next one begins.
struct Line {
  std::string_view text;
  std::size_t next = 0;
};
Result<std::optional<Line>> line_at(std::string_view buffer, std::size_t from) {
  const auto end = buffer.find("\r\n", from);
  if (end == std::string_view::npos) {
    if (buffer.size() - from > kLineBytesMax)
      return fail(Code::kLimit, "a reply's line is too long");
    return std::optional<Line>();
  }
  return std::optional<Line>(Line{buffer.substr(from, end - from), end + 2});
}

Result<std::int64_t> parse_number(std::string_view text, int base = 10) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    return fail(Code::kInvalid, fmt::format("not a number in a reply: '{}'", text.substr(0, 40)));
  return value;
}

Status check_size(std::int64_t bytes) {
  if (bytes < -1) return fail(Code::kInvalid, "a reply has a negative size");
  if (bytes > static_cast<std::int64_t>(kReplyBytesMax))
    return fail(Code::kLimit, fmt::format("a reply of {} bytes is too large", bytes));
  return {};
}

// Turns of three: INCR (its answer counts every turn so far: a write lost or applied twice shows),
// SET of a value made of connection and turn, GET of the same.
class RedisProtocol final : public LoadProtocol {
 public:
  explicit RedisProtocol(const ProtocolOptions& options)
      : counter_(fmt::format("load:{}:{}:n", options.tag, options.connection)),
        key_(fmt::format("load:{}:{}:v", options.tag, options.connection)),
        connection_(options.connection) {}

  Exchange exchange(std::uint64_t n) const override {
    const auto turn = n / 3;
    const auto value = fmt::format("{}-{}", connection_, turn);
    if (n % 3 == 0) return {command({"INCR", counter_}), fmt::format(":{}", turn + 1)};
    if (n % 3 == 1) return {command({"SET", key_, value}), "+OK"};
    return {command({"GET", key_}), "$" + value};
  }

  Parsed parse(std::string_view buffer) const override {
    ICON_TRY(auto line, line_at(buffer, 0));
    if (!line) return std::optional<ParsedReply>();
    if (line->text.empty()) return fail(Code::kInvalid, "an empty redis reply");
    switch (line->text.front()) {
      case '+':
      case '-':
      case ':':
        return std::optional(ParsedReply{line->next, std::string(line->text)});
      case '$':
        break;
      default:
        return fail(Code::kInvalid,
                    fmt::format("not a redis reply: '{}'", line->text.substr(0, 40)));
    }
    ICON_TRY(const auto size, parse_number(line->text.substr(1)));
    ICON_CHECK(check_size(size));
    if (size < 0) return std::optional(ParsedReply{line->next, "$nil"});
    const auto end = line->next + static_cast<std::size_t>(size);
    if (buffer.size() < end + 2) return std::optional<ParsedReply>();
    if (buffer.substr(end, 2) != "\r\n")
      return fail(Code::kInvalid, "a redis reply without its end");
    return std::optional(ParsedReply{
        end + 2, "$" + std::string(buffer.substr(line->next, static_cast<std::size_t>(size)))});
  }

 private:
  static std::string command(std::initializer_list<std::string_view> words) {
    auto text = fmt::format("*{}\r\n", words.size());
    for (const auto word : words) text += fmt::format("${}\r\n{}\r\n", word.size(), word);
    return text;
  }

  std::string counter_;
  std::string key_;
  std::uint64_t connection_;
};

// The same three with memcached's text protocol; the counter is set to 0 first.
class MemcachedProtocol final : public LoadProtocol {
 public:
  explicit MemcachedProtocol(const ProtocolOptions& options)
      : counter_(fmt::format("load:{}:{}:n", options.tag, options.connection)),
        key_(fmt::format("load:{}:{}:v", options.tag, options.connection)),
        connection_(options.connection) {}

  Exchange exchange(std::uint64_t n) const override {
    if (n == 0) return {set(counter_, "0"), "STORED"};
    const auto turn = (n - 1) / 3;
    const auto value = fmt::format("{}-{}", connection_, turn);
    if ((n - 1) % 3 == 0)
      return {fmt::format("incr {} 1\r\n", counter_), fmt::format("{}", turn + 1)};
    if ((n - 1) % 3 == 1) return {set(key_, value), "STORED"};
    return {fmt::format("get {}\r\n", key_), "VALUE " + value};
  }

  Parsed parse(std::string_view buffer) const override {
    ICON_TRY(auto line, line_at(buffer, 0));
    if (!line) return std::optional<ParsedReply>();
    if (!line->text.starts_with("VALUE "))
      return std::optional(ParsedReply{line->next, std::string(line->text)});
    ICON_TRY(const auto size, parse_number(line->text.substr(line->text.rfind(' ') + 1)));
    ICON_CHECK(check_size(size));
    if (size < 0) return fail(Code::kInvalid, "a memcached value with a negative size");
    constexpr std::string_view kEnd = "\r\nEND\r\n";
    const auto end = line->next + static_cast<std::size_t>(size);
    if (buffer.size() < end + kEnd.size()) return std::optional<ParsedReply>();
    if (buffer.substr(end, kEnd.size()) != kEnd)
      return fail(Code::kInvalid, "a memcached value without its end");
    return std::optional(ParsedReply{
        end + kEnd.size(),
        "VALUE " + std::string(buffer.substr(line->next, static_cast<std::size_t>(size)))});
  }

 private:
  static std::string set(std::string_view key, std::string_view value) {
    return fmt::format("set {} 0 0 {}\r\n{}\r\n", key, value.size(), value);
  }

  std::string counter_;
  std::string key_;
  std::uint64_t connection_;
};

// Keep-alive GETs; status and body are compared, headers are not.
class HttpProtocol final : public LoadProtocol {
 public:
  explicit HttpProtocol(const ProtocolOptions& options)
      : request_(fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", options.http_path,
                             options.http_host)) {
    if (!options.http_expect.empty()) expected_ = "200 " + options.http_expect;
  }

  Exchange exchange(std::uint64_t) const override { return {request_, expected_}; }

  Parsed parse(std::string_view buffer) const override {
    const auto head_end = buffer.find("\r\n\r\n");
    if (head_end == std::string_view::npos) {
      if (buffer.size() > kLineBytesMax) return fail(Code::kLimit, "an HTTP header is too long");
      return std::optional<ParsedReply>();
    }
    const auto head = buffer.substr(0, head_end + 2);
    if (!head.starts_with("HTTP/1.") || head.size() < 12)
      return fail(Code::kInvalid, fmt::format("not an HTTP reply: '{}'", head.substr(0, 40)));
    ParsedReply reply;
    reply.closes = header(head, "connection") == "close" ||
                   (head.starts_with("HTTP/1.0") && header(head, "connection") != "keep-alive");
    const auto status = std::string(head.substr(9, 3)) + " ";
    const auto body_from = head_end + 4;
    if (header(head, "transfer-encoding") == "chunked") {
      ICON_TRY(auto body, chunked(buffer, body_from));
      if (!body) return std::optional<ParsedReply>();
      reply.bytes = body->bytes;
      reply.content = status + body->content;
      return std::optional(std::move(reply));
    }
    const auto length = header(head, "content-length");
    if (!length) return fail(Code::kInvalid, "an HTTP reply that does not say its length");
    ICON_TRY(const auto size, parse_number(*length));
    ICON_CHECK(check_size(size));
    if (size < 0) return fail(Code::kInvalid, "an HTTP reply with a negative length");
    reply.bytes = body_from + static_cast<std::size_t>(size);
    if (buffer.size() < reply.bytes) return std::optional<ParsedReply>();
    reply.content = status + std::string(buffer.substr(body_from, static_cast<std::size_t>(size)));
    return std::optional(std::move(reply));
  }

 private:
  // The value in lower case.
  static std::optional<std::string> header(std::string_view head, std::string_view name) {
    std::size_t at = head.find("\r\n") + 2;
    while (at < head.size()) {
      const auto end = head.find("\r\n", at);
      const auto line = head.substr(at, end - at);
      at = end + 2;
      const auto colon = line.find(':');
      if (colon != name.size()) continue;
      std::string text(line);
      std::transform(text.begin(), text.end(), text.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      if (!text.starts_with(name)) continue;
      const auto value = text.find_first_not_of(' ', colon + 1);
      return value == std::string::npos ? "" : text.substr(value);
    }
    return std::nullopt;
  }

  static Parsed chunked(std::string_view buffer, std::size_t at) {
    ParsedReply body;
    while (true) {
      ICON_TRY(auto line, line_at(buffer, at));
      if (!line) return std::optional<ParsedReply>();
      ICON_TRY(const auto size, parse_number(line->text.substr(0, line->text.find(';')), 16));
      ICON_CHECK(check_size(size));
      if (size < 0) return fail(Code::kInvalid, "a chunk with a negative size");
      ICON_CHECK(check_size(size + static_cast<std::int64_t>(body.content.size())));
      const auto end = line->next + static_cast<std::size_t>(size);
      if (buffer.size() < end + 2) return std::optional<ParsedReply>();
      if (buffer.substr(end, 2) != "\r\n") return fail(Code::kInvalid, "a chunk without its end");
      body.content += buffer.substr(line->next, static_cast<std::size_t>(size));
      at = end + 2;
      if (size == 0) break;
    }
    body.bytes = at;
    return std::optional(std::move(body));
  }

  std::string request_;
  std::optional<std::string> expected_;
};

}  // namespace

Result<std::unique_ptr<LoadProtocol>> make_protocol(const ProtocolOptions& options) {
  std::unique_ptr<LoadProtocol> protocol;
  if (options.name == "redis") protocol = std::make_unique<RedisProtocol>(options);
  if (options.name == "memcached") protocol = std::make_unique<MemcachedProtocol>(options);
  if (options.name == "http") protocol = std::make_unique<HttpProtocol>(options);
  if (!protocol)
    return fail(Code::kInvalid,
                "unknown protocol '" + options.name + "': use redis, memcached or http");
  return protocol;
}

}  // namespace icon::lab
