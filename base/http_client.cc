#include "base/http_client.h"

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <optional>
#include <utility>

#include "base/socket_path.h"

namespace icon::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace bhttp = boost::beast::http;

using Stream = beast::basic_stream<asio::local::stream_protocol>;
using BeastRequest = bhttp::request<bhttp::string_body>;

constexpr std::size_t kHeaderBytesMax = 16 << 10;
constexpr std::size_t kLineBytesMax = 1 << 20;

tl::unexpected<Error> failure(const UnixRequest& request, const boost::system::error_code& error) {
  const std::string what = request.method + ' ' + request.target + " at " + request.socket_path;
  if (error == beast::error::timeout) return fail(Code::kTimeout, what + ": no answer in time");
  if (error == asio::error::operation_aborted) return fail(Code::kCancelled, what + ": cancelled");
  if (error == bhttp::error::body_limit || error == bhttp::error::header_limit ||
      error == bhttp::error::buffer_overflow)
    return fail(Code::kLimit, what + ": the answer is too large");
  if (error.category() == asio::error::get_system_category())
    return fail_errno(what, error.value());
  if (error == bhttp::error::end_of_stream || error == bhttp::error::partial_message ||
      error.category() == asio::error::get_misc_category())
    return fail(Code::kIo, what + ": the connection ended early");
  return fail(Code::kInvalid, what + ": the answer is no HTTP: " + error.message());
}

BeastRequest to_beast(const UnixRequest& request) {
  BeastRequest message;
  message.version(11);
  message.method_string(request.method);
  message.target(request.target);
  message.set(bhttp::field::host, "localhost");
  message.set(bhttp::field::connection, "close");
  if (!request.body.empty()) message.set(bhttp::field::content_type, "application/json");
  message.body() = request.body;
  message.prepare_payload();
  return message;
}

// Connects and sends; `stream`'s limit of time has been set by the caller.
Task<Status> send(Stream& stream, const UnixRequest& request) {
  ICON_CO_TRY(const auto path, SocketPath::of(request.socket_path));
  const asio::local::stream_protocol::endpoint endpoint(path.text);
  const auto [connect_error] = co_await stream.async_connect(endpoint, kNoThrow);
  if (connect_error) co_return failure(request, connect_error);
  BeastRequest message = to_beast(request);
  const auto [write_error, written] = co_await bhttp::async_write(stream, message, kNoThrow);
  if (write_error) co_return failure(request, write_error);
  co_return Status{};
}

// Cuts what arrives into lines. False: the reader has had enough. Errors: kLimit.
class LineCutter {
 public:
  explicit LineCutter(std::function<bool(std::string_view)> on_line)
      : on_line_(std::move(on_line)) {}

  Result<bool> feed(std::string_view bytes) {
    pending_.append(bytes);
    std::size_t start = 0;
    for (std::size_t end; (end = pending_.find('\n', start)) != std::string::npos;
         start = end + 1) {
      std::string_view line(pending_.data() + start, end - start);
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (!line.empty() && !on_line_(line)) return false;
    }
    pending_.erase(0, start);
    if (pending_.size() > kLineBytesMax) return fail(Code::kLimit, "a line is longer than 1 MiB");
    return true;
  }

 private:
  std::function<bool(std::string_view)> on_line_;
  std::string pending_;
};

// The body of a refusal, small and whole, as an Error.
Task<Status> read_refusal(Stream& stream, beast::flat_buffer& buffer, const UnixRequest& request,
                          bhttp::response_parser<bhttp::buffer_body>& header) {
  bhttp::response_parser<bhttp::string_body> parser(std::move(header));
  parser.body_limit(request.response_bytes_max);
  const auto [error, count] = co_await bhttp::async_read(stream, buffer, parser, kNoThrow);
  if (error) co_return failure(request, error);
  const Response response{static_cast<int>(parser.get().result_int()), {}, parser.get().body()};
  auto body = body_or_error(response);
  if (!body) co_return fail(body.error());
  co_return fail(Code::kIo, "HTTP status " + std::to_string(response.status));
}

Task<Status> read_lines(Stream& stream, const UnixRequest& request, Millis idle_max,
                        std::function<bool(std::string_view)> on_line) {
  beast::flat_buffer buffer;
  bhttp::response_parser<bhttp::buffer_body> parser;
  parser.header_limit(kHeaderBytesMax);
  parser.body_limit(boost::none);
  const auto [header_error, header_bytes] =
      co_await bhttp::async_read_header(stream, buffer, parser, kNoThrow);
  if (header_error) co_return failure(request, header_error);
  if (parser.get().result_int() / 100 != 2)
    co_return co_await read_refusal(stream, buffer, request, parser);

  LineCutter lines(std::move(on_line));
  std::array<char, 4096> chunk;
  while (!parser.is_done()) {
    parser.get().body().data = chunk.data();
    parser.get().body().size = chunk.size();
    stream.expires_after(idle_max);
    // read_some, not read: a line is handed on when it arrives, not when the chunk is full.
    auto [error, count] = co_await bhttp::async_read_some(stream, buffer, parser, kNoThrow);
    const std::size_t got = chunk.size() - parser.get().body().size;
    ICON_CO_TRY(const bool wanted, lines.feed({chunk.data(), got}));
    if (!wanted) break;
    // A supervisor that is killed does not end its chunks: its silence is an end like any other.
    if (error == bhttp::error::partial_message || error == bhttp::error::end_of_stream) break;
    if (error && error != bhttp::error::need_buffer) co_return failure(request, error);
  }
  co_return Status{};
}

template <class T>
Result<T> run_blocking(Task<Result<T>> task) {
  IoContext loop(1);
  std::optional<Result<T>> outcome;
  asio::co_spawn(loop, std::move(task), [&](std::exception_ptr exception, Result<T> value) {
    outcome.emplace(exception ? Result<T>(fail(Code::kInternal, "HTTP client: exception"))
                              : std::move(value));
  });
  loop.run();
  if (!outcome) return fail(Code::kInternal, "HTTP client: no outcome");
  return std::move(*outcome);
}

}  // namespace

Task<Result<Response>> request(UnixRequest request) {
  Stream stream(co_await asio::this_coro::executor);
  stream.expires_after(request.timeout);
  ICON_CO_CHECK(co_await send(stream, request));
  beast::flat_buffer buffer;
  bhttp::response_parser<bhttp::string_body> parser;
  parser.header_limit(kHeaderBytesMax);
  parser.body_limit(request.response_bytes_max);
  if (request.method == "HEAD") parser.skip(true);
  const auto [error, count] = co_await bhttp::async_read(stream, buffer, parser, kNoThrow);
  if (error) co_return failure(request, error);
  auto message = parser.release();
  Response response;
  response.status = static_cast<int>(message.result_int());
  response.content_type = std::string(message[bhttp::field::content_type]);
  response.body = std::move(message.body());
  co_return response;
}

Result<Response> request_blocking(UnixRequest unix_request) {
  return run_blocking(request(std::move(unix_request)));
}

Task<Status> stream_lines(UnixRequest request, Millis idle_max,
                          std::function<bool(std::string_view)> on_line) {
  Stream stream(co_await asio::this_coro::executor);
  stream.expires_after(request.timeout);
  ICON_CO_CHECK(co_await send(stream, request));
  co_return co_await read_lines(stream, request, idle_max, std::move(on_line));
}

Status stream_lines_blocking(UnixRequest request, Millis idle_max,
                             std::function<bool(std::string_view)> on_line) {
  return run_blocking(stream_lines(std::move(request), idle_max, std::move(on_line)));
}

}  // namespace icon::http
