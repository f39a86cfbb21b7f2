#include "stub/control.h"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <memory>

#include "base/log.h"

namespace icon::stub {
namespace {

namespace asio = boost::asio;
namespace bhttp = boost::beast::http;
using Protocol = asio::local::stream_protocol;
using Stream = boost::beast::basic_stream<Protocol>;

http::Response put_routes(Redirector& redirector, std::string_view body) {
  const auto object = json::parse_object(body, kControlBodyBytesMax);
  if (!object) return http::error_response(object.error());
  auto table = RouteTable::from_json(*object);
  if (!table) return http::error_response(table.error());
  const auto count = table->size();
  redirector.set_routes(std::move(*table));
  log::info("stub.routes", {{"routes", count}});
  return http::json_response(200, json::Object{{"routes", count}});
}

http::Response get_status(const Redirector& redirector) {
  return http::json_response(200, json::Object{{"pid", getpid()},
                                               {"port", redirector.port()},
                                               {"routes", redirector.routes().size()},
                                               {"statistics", redirector.statistics().to_json()}});
}

bool is_allowed(int fd, unsigned owner_uid) {
  ucred peer{};
  socklen_t length = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
         (peer.uid == 0 || peer.uid == owner_uid);
}

Task<void> serve_one(Stream stream, std::shared_ptr<int> open, Redirector& redirector) {
  boost::beast::flat_buffer buffer;
  bhttp::request_parser<bhttp::string_body> parser;
  parser.body_limit(kControlBodyBytesMax);
  stream.expires_after(kControlRequestMax);
  const auto [read_error, read_count] =
      co_await bhttp::async_read(stream, buffer, parser, kNoThrow);
  if (read_error) {
    --*open;
    co_return;
  }
  const auto& request = parser.get();
  const auto reply =
      handle_control(redirector, request.method_string(), request.target(), request.body());
  bhttp::response<bhttp::string_body> message(static_cast<bhttp::status>(reply.status), 11);
  message.set(bhttp::field::content_type, reply.content_type);
  message.keep_alive(false);
  message.body() = reply.body;
  message.prepare_payload();
  co_await bhttp::async_write(stream, message, kNoThrow);
  --*open;
}

Task<void> accept_all(Protocol::acceptor acceptor, unsigned owner_uid, Redirector& redirector) {
  const auto open = std::make_shared<int>(0);
  for (;;) {
    auto [error, socket] = co_await acceptor.async_accept(kNoThrow);
    if (error) co_return;
    if (*open >= kControlConnectionsMax || !is_allowed(socket.native_handle(), owner_uid)) continue;
    ++*open;
    const auto executor = acceptor.get_executor();
    asio::co_spawn(executor, serve_one(Stream(std::move(socket)), open, redirector),
                   asio::detached);
  }
}

}  // namespace

http::Response handle_control(Redirector& redirector, std::string_view method,
                              std::string_view target, std::string_view body) {
  const bool is_get = method == "GET";
  if (target == "/v1/routes" && method == "PUT") return put_routes(redirector, body);
  if (target == "/v1/routes" && is_get)
    return http::json_response(200, redirector.routes().to_json());
  if (target == "/v1/status" && is_get) return get_status(redirector);
  return http::error_response({Code::kNotFound, "no such call on the stub's control socket"});
}

Status serve_control(IoContext& loop, UniqueFd listener, unsigned owner_uid,
                     Redirector& redirector) {
  Protocol::acceptor acceptor(loop);
  boost::system::error_code error;
  acceptor.assign(Protocol(), listener.get(), error);
  if (error) return fail(Code::kIo, "take the control socket: " + error.message());
  (void)listener.release();
  asio::co_spawn(loop, accept_all(std::move(acceptor), owner_uid, redirector), asio::detached);
  return {};
}

}  // namespace icon::stub
