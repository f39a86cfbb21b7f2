#include "base/http_session.h"

#include <array>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/chunk_encode.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <functional>
#include <sstream>
#include <utility>
#include <vector>

#include "base/http_text.h"
#include "base/log.h"

namespace icon::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace bhttp = boost::beast::http;
using ErrorCode = boost::system::error_code;

// The start line and the fields, as they go out.
std::string to_text(const bhttp::response_header<>& header) {
  std::ostringstream out;
  out << header;
  return std::move(out).str();
}

template <class Buffers>
std::vector<asio::const_buffer> parts_of(const Buffers& buffers) {
  return {asio::buffer_sequence_begin(buffers), asio::buffer_sequence_end(buffers)};
}

class Session {
 public:
  // References must outlive run().
  Session(Connection& connection, const SessionContext& context, std::optional<PublicKey> peer_key)
      : connection_(connection),
        context_(context),
        peer_key_(peer_key),
        buffer_(context.limits.header_bytes_max + kReadAheadBytes) {}

  // Returns when the connection is to be closed.
  Task<void> run() {
    // Not `while (co_await ..) {}`: g++ 12 makes that loop unreachable code.
    for (bool again = true; again;) again = co_await serve_one();
  }

 private:
  static constexpr std::size_t kReadAheadBytes = 64 << 10;
  static constexpr std::size_t kUploadChunkBytes = 256 << 10;
  // More than a connection has under way by default: 6 MiB in tcp_rmem, 4 in tcp_wmem, and what the
  // client holds itself.
  static constexpr std::size_t kUnreadBytesMax = 16 << 20;
  using HeaderParser = bhttp::request_parser<bhttp::empty_body>;
  using AnyParser = bhttp::basic_parser<true>;

  // Reads and parses until `is_done`. Errors: those of the parser; end_of_stream before the first
  // byte, partial_message after it.
  // `idle`: how long a single read may take; none: the deadline that is set already counts.
  // `is_enough`: when so, returns rather than wait for more.
  Task<ErrorCode> parse(AnyParser& parser, bool (AnyParser::*is_done)() const,
                        Millis idle = Millis(0), std::function<bool()> is_enough = {}) {
    ErrorCode error;
    while (!(parser.*is_done)()) {
      if (buffer_.size() > 0) {
        buffer_.consume(parser.put(buffer_.data(), error));
        if (!error) continue;
        if (error != bhttp::error::need_more) co_return error;
      }
      if (is_enough && is_enough()) break;
      const std::size_t room = std::min(buffer_.max_size() - buffer_.size(), kReadAheadBytes);
      if (room == 0) co_return bhttp::error::buffer_overflow;
      if (idle.count() > 0) connection_.expires_after(idle);
      const auto got = co_await connection_.read_some(buffer_.prepare(room));
      buffer_.commit(got.bytes);
      if (got.error == asio::error::eof)
        co_return parser.got_some() ? bhttp::error::partial_message : bhttp::error::end_of_stream;
      if (got.error) co_return got.error;
    }
    co_return ErrorCode();
  }

  // True: the connection is good for another request.
  Task<bool> serve_one() {
    if (buffer_.size() == 0 && !co_await wait_for_bytes()) co_return false;
    connection_.expires_after(context_.limits.request);
    HeaderParser parser;
    parser.header_limit(static_cast<std::uint32_t>(context_.limits.header_bytes_max));
    parser.body_limit(boost::none);  // judged when the route is known
    const ErrorCode error = co_await parse(parser, &AnyParser::is_header_done);
    if (error) co_return co_await refuse_header(error);
    keep_alive_ = parser.keep_alive();

    Request request;
    const auto target = parser.get().target();
    const std::string_view text(target.data(), target.size());
    const auto query_start = std::min(text.find('?'), text.size());
    const auto raw_path = text.substr(0, query_start);
    auto path = percent_decode(raw_path, false);
    auto query = parse_query(text.substr(std::min(query_start + 1, text.size())));
    const std::string method(parser.get().method_string());
    if (!path || !query || raw_path.empty() || raw_path.front() != '/') {
      co_return co_await refuse(Code::kInvalid, "the request target is malformed", 400);
    }
    auto match = context_.router.find(method, raw_path);
    if (!match.handler && !match.upload && !match.stream) {
      const std::string what = method + " " + *path;
      if (match.path_known)
        co_return co_await refuse(Code::kInvalid, what + ": this path takes another method", 405);
      co_return co_await refuse(Code::kNotFound, what + ": no such path", 404);
    }
    request.method = method;
    request.path = std::move(*path);
    request.query = std::move(*query);
    request.params = std::move(match.params);
    request.peer_key = peer_key_;
    request.icon_id = context_.icon_id;
    request.peer_address = context_.peer_address;
    if (match.upload) co_return co_await serve_upload(std::move(request), parser, *match.upload);
    if (!co_await read_body(parser, request)) co_return false;
    if (match.stream) co_return co_await serve_stream(std::move(request), *match.stream);
    co_return co_await write(co_await guarded((*match.handler)(std::move(request))));
  }

  Task<bool> wait_for_bytes() {
    connection_.expires_after(context_.limits.idle);
    const auto got = co_await connection_.read_some(buffer_.prepare(kFirstReadBytes));
    buffer_.commit(got.bytes);
    co_return !got.error;
  }
  static constexpr std::size_t kFirstReadBytes = 8 << 10;

  // Errors of the header that deserve an answer get one; then the connection ends.
  Task<bool> refuse_header(ErrorCode error) {
    if (error == bhttp::error::header_limit || error == bhttp::error::buffer_overflow)
      co_return co_await refuse(Code::kLimit, "the request header is too large", 431);
    if (error == beast::error::timeout || error == bhttp::error::end_of_stream) co_return false;
    if (error.category() == make_error_code(bhttp::error::bad_method).category())
      co_return co_await refuse(Code::kInvalid, "no HTTP request: " + error.message(), 400);
    co_return false;
  }

  // For requests whose body is not read: answers and closes, leaving the client time to read.
  // Three plain arguments: g++ 12 destroys an aggregate temporary in a co_await expression twice.
  Task<bool> refuse(Code code, std::string message, int status) {
    keep_alive_ = false;
    Response response = error_response(Error{code, std::move(message)});
    response.status = status;
    co_await write(std::move(response));
    co_await discard_unread();
    co_return false;
  }

  // Closing with unread bytes resets the connection, and the client would lose the answer.
  Task<void> discard_unread() {
    connection_.expires_after(std::min(context_.limits.request, Millis(2'000)));
    std::size_t left = kUnreadBytesMax;
    buffer_.clear();
    while (left > 0) {
      const auto got = co_await connection_.read_some(buffer_.prepare(kReadAheadBytes));
      if (got.error || got.bytes > left) break;
      left -= got.bytes;
    }
  }

  Task<bool> read_body(HeaderParser& header, Request& request) {
    const auto length = header.content_length();
    const std::string too_large = "the request body is larger than " +
                                  std::to_string(context_.limits.body_bytes_max) + " bytes";
    if (length && *length > context_.limits.body_bytes_max)
      co_return co_await refuse(Code::kLimit, too_large, 413);
    if (!co_await continue_if_asked(header)) co_return false;
    bhttp::request_parser<bhttp::string_body> parser(std::move(header));
    parser.eager(true);
    parser.body_limit(context_.limits.body_bytes_max);
    const ErrorCode error = co_await parse(parser, &AnyParser::is_done);
    if (error == bhttp::error::body_limit) co_return co_await refuse(Code::kLimit, too_large, 413);
    if (error) {
      if (error.category() == make_error_code(bhttp::error::bad_method).category() &&
          error != bhttp::error::partial_message)
        co_return co_await refuse(Code::kInvalid, "malformed body: " + error.message(), 400);
      co_return false;
    }
    request.body = std::move(parser.get().body());
    co_return true;
  }

  // RFC 9110, section 10.1.1.
  Task<bool> continue_if_asked(HeaderParser& header) {
    if (!beast::iequals(header.get()[bhttp::field::expect], "100-continue")) co_return true;
    bhttp::response_header<> head;
    head.version(11);
    head.result(bhttp::status::continue_);
    const std::string text = to_text(head);
    const asio::const_buffer part = asio::buffer(text);
    const ErrorCode error = co_await connection_.write({&part, 1});
    co_return !error;
  }

  // A handler that throws is our bug, but one request must not take the daemon down.
  static Task<Response> guarded(Task<Response> answer) {
    std::string what;
    try {
      co_return co_await std::move(answer);
    } catch (const boost::system::system_error& error) {
      if (error.code() == asio::error::operation_aborted) throw;
      what = error.what();
    } catch (const std::exception& error) {
      what = error.what();
    }
    log::error("http.handler_threw", {{"what", what}});
    co_return error_response({Code::kInternal, "internal error; the log says more"});
  }

  Task<bool> write(Response response) {
    bhttp::response<bhttp::empty_body> message(static_cast<bhttp::status>(response.status), 11);
    message.set(bhttp::field::content_type, response.content_type);
    message.set(bhttp::field::cache_control, "no-store");
    message.keep_alive(keep_alive_);
    message.content_length(response.body.size());
    const std::string head = to_text(message);
    const std::array<asio::const_buffer, 2> parts{asio::buffer(head), asio::buffer(response.body)};
    connection_.expires_after(context_.limits.request);
    const ErrorCode error = co_await connection_.write(parts);
    co_return !error && keep_alive_;
  }

  // --- Uploads.
  class Upload final : public BodyReader {
   public:
    Upload(Session& session, HeaderParser&& header)
        : session_(session), parser_(std::move(header)), chunk_(kUploadChunkBytes) {
      parser_.eager(true);
    }

    Task<Result<std::span<const char>>> read_some() override {
      auto& body = parser_.get().body();
      while (!parser_.is_done()) {
        body.data = chunk_.data();
        body.size = chunk_.size();
        body.more = true;
        // A sender that waits for an answer to what it has sent must not wait for us.
        std::function<bool()> has_some = [this, &body] { return body.size < chunk_.size(); };
        const ErrorCode error =
            co_await session_.parse(parser_, &AnyParser::is_done,
                                    session_.context_.limits.upload_idle, std::move(has_some));
        if (error && error != bhttp::error::need_buffer) co_return broken(error);
        const std::size_t filled = chunk_.size() - body.size;
        if (filled > 0) co_return std::span<const char>(chunk_.data(), filled);
      }
      co_return std::span<const char>();
    }
    bool done() const { return parser_.is_done(); }

   private:
    static tl::unexpected<Error> broken(const ErrorCode& error) {
      if (error == beast::error::timeout)
        return fail(Code::kTimeout, "upload: nothing arrived in time");
      return fail(Code::kIo, "upload broke off: " + error.message());
    }

    Session& session_;
    bhttp::request_parser<bhttp::buffer_body> parser_;
    std::vector<char> chunk_;
  };

  Task<bool> serve_upload(Request request, HeaderParser& header, const UploadHandler& handler) {
    if (!co_await continue_if_asked(header)) co_return false;
    Upload upload(*this, std::move(header));
    Response response = co_await guarded(handler(std::move(request), upload));
    const bool all_read = upload.done();
    if (!all_read) keep_alive_ = false;
    const bool again = co_await write(std::move(response));
    if (!all_read) co_await discard_unread();
    co_return again;
  }

  // --- Streams of lines.
  class Lines final : public LineWriter {
   public:
    explicit Lines(Session& session) : session_(session) {}

    Task<Status> write_line(std::string line) override {
      line += '\n';
      session_.connection_.expires_after(session_.context_.limits.request);
      const auto chunk = bhttp::make_chunk(asio::buffer(line));
      const auto parts = parts_of(chunk);
      const ErrorCode error = co_await session_.connection_.write(parts);
      if (error) co_return fail(Code::kIo, "the listener has gone: " + error.message());
      co_return Status{};
    }

   private:
    Session& session_;
  };

  Task<bool> serve_stream(Request request, const StreamHandler& handler) {
    using asio::experimental::awaitable_operators::operator||;
    bhttp::response<bhttp::empty_body> message(bhttp::status::ok, 11);
    message.set(bhttp::field::content_type, "application/x-ndjson");
    message.set(bhttp::field::cache_control, "no-store");
    message.keep_alive(false);
    message.chunked(true);
    const std::string head = to_text(message);
    const asio::const_buffer part = asio::buffer(head);
    const ErrorCode error = co_await connection_.write({&part, 1});
    if (error) co_return false;
    connection_.expires_never();
    Lines lines(*this);
    const auto ended =
        co_await (guarded_stream(handler, std::move(request), lines) || until_closed());
    if (ended.index() == 0) {
      connection_.expires_after(context_.limits.request);
      const auto last = bhttp::make_chunk_last();
      const auto parts = parts_of(last);
      co_await connection_.write(parts);
    }
    co_return false;
  }

  static Task<void> guarded_stream(const StreamHandler& handler, Request request,
                                   LineWriter& lines) {
    try {
      co_await handler(std::move(request), lines);
    } catch (const boost::system::system_error& error) {
      if (error.code() == asio::error::operation_aborted) throw;
      log::error("http.handler_threw", {{"what", error.what()}});
    } catch (const std::exception& error) {
      log::error("http.handler_threw", {{"what", error.what()}});
    }
  }

  // The client has nothing more to say: whatever comes, the end or bytes, ends the stream.
  Task<void> until_closed() {
    char byte = 0;
    connection_.expires_never();  // a line that was written has set a deadline for this as well
    co_await connection_.read_some(asio::buffer(&byte, 1));
  }

  Connection& connection_;
  const SessionContext& context_;
  std::optional<PublicKey> peer_key_;
  beast::flat_buffer buffer_;
  bool keep_alive_ = false;
};

}  // namespace

Task<void> run_session(Connection& connection, const SessionContext& context,
                       std::optional<PublicKey> peer_key) {
  Session session(connection, context, peer_key);
  co_await session.run();
}

}  // namespace icon::http
