// The server on a unix socket, spoken to byte by byte: what it answers, and what it refuses.
#include "base/http_server.h"

#include <sys/stat.h>

#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>

#include "tests/unit/base/http_rig.h"

namespace icon::http {
namespace {

using test::RawClient;
using test::RunningLoop;
using test::TempDir;
using ::testing::Test;

class HttpServerTest : public Test {
 protected:
  HttpServerTest() {
    limits_.header_bytes_max = 2'000;
    limits_.body_bytes_max = 1'000;
    limits_.connections_max = 3;
    limits_.idle = Millis(5'000);
    limits_.request = Millis(400);
    limits_.upload_idle = Millis(400);
    router_.on("GET", "/hello", [](Request request) -> Task<Response> {
      co_return Response{200, "text/plain", request.icon_id + ":" + request.query["q"]};
    });
    router_.on("POST", "/echo", [](Request request) -> Task<Response> {
      co_return Response{200, "text/plain", request.body};
    });
    router_.on("GET", "/throws", [](Request) -> Task<Response> {
      throw std::runtime_error("a bug");
      co_return Response{};
    });
    router_.on_upload("PUT", "/upload", [this](Request, BodyReader& body) -> Task<Response> {
      std::size_t total = 0;
      for (;;) {
        const auto part = co_await body.read_some();
        if (!part) {
          upload_failed_.set_value(part.error().code);
          co_return error_response(part.error());
        }
        if (part->empty()) break;
        total += part->size();
      }
      co_return Response{200, "text/plain", "got " + std::to_string(total)};
    });
    router_.on_upload("PUT", "/first", [](Request, BodyReader& body) -> Task<Response> {
      const auto part = co_await body.read_some();
      if (!part) co_return error_response(part.error());
      co_return Response{200, "text/plain", "first " + std::string(part->begin(), part->end())};
    });
    router_.on_upload("PUT", "/refuse", [](Request, BodyReader&) -> Task<Response> {
      co_return error_response({Code::kRefused, "not from you"});
    });
    router_.on_stream("GET", "/lines", [this](Request, LineWriter& lines) -> Task<void> {
      struct Ended {
        std::promise<void>& promise;
        ~Ended() { promise.set_value(); }
      } ended{stream_ended_};
      if (!co_await lines.write_line("one")) co_return;
      boost::asio::steady_timer forever(co_await boost::asio::this_coro::executor,
                                        std::chrono::hours(1));
      co_await forever.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
      co_await lines.write_line("never");
    });
  }

  void start() {
    server_ = loop_.on_loop([this] {
      auto server = serve_unix(loop_.loop, path(), 0600, "me", router_, limits_);
      EXPECT_TRUE(server) << server.error().message;
      return std::move(*server);
    });
  }
  void TearDown() override {
    if (server_) loop_.on_loop([this] { server_.reset(); });
  }
  std::string path() const { return directory_ / "socket"; }
  std::string ask(const std::string& text) {
    RawClient client(path());
    client.send(text);
    return client.read_all();
  }

  TempDir directory_;
  Limits limits_;
  Router router_;
  std::promise<void> stream_ended_;
  std::promise<Code> upload_failed_;
  RunningLoop loop_;
  std::unique_ptr<Server> server_;
};

TEST_F(HttpServerTest, AnswersAndKeepsTheConnection) {
  start();
  RawClient client(path());
  client.send("GET /hello?q=1 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(client.read_until("me:1").find("HTTP/1.1 200 OK"), std::string::npos);
  client.forget();
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_NE(client.read_until("abc").find("200 OK"), std::string::npos);
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
  start();
  const auto answer =
      ask("GET /hello?q=first HTTP/1.1\r\nHost: x\r\n\r\n"
          "GET /hello?q=second HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_LT(answer.find("me:first"), answer.find("me:second"));
  EXPECT_NE(answer.find("me:second"), std::string::npos);
}

TEST_F(HttpServerTest, UnknownPathAndWrongMethod) {
  start();
  const auto unknown = ask("GET /nope HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(unknown.find("404 Not Found"), std::string::npos);
  EXPECT_NE(unknown.find("\"not_found\""), std::string::npos);
  EXPECT_NE(ask("DELETE /hello HTTP/1.1\r\nHost: x\r\n\r\n").find("405 Method"), std::string::npos);
}

TEST_F(HttpServerTest, MalformedRequests) {
  start();
  EXPECT_NE(ask("GET /hello%2 HTTP/1.1\r\nHost: x\r\n\r\n").find("400 Bad"), std::string::npos);
  EXPECT_NE(ask("GET hello HTTP/1.1\r\nHost: x\r\n\r\n").find("400 Bad"), std::string::npos);
  EXPECT_NE(ask("hello there\r\n\r\n").find("400 Bad"), std::string::npos);
  EXPECT_NE(ask("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").find("400 Bad"),
            std::string::npos);
  EXPECT_NE(ask("POST /echo HTTP/1.1\r\nContent-Length: -3\r\n\r\n").find("400 Bad"),
            std::string::npos);
}

TEST_F(HttpServerTest, OversizedHeader) {
  start();
  const auto answer = ask("GET /hello HTTP/1.1\r\nX: " + std::string(3'000, 'x') + "\r\n\r\n");
  EXPECT_NE(answer.find("431 "), std::string::npos);
}

TEST_F(HttpServerTest, OversizedBodyAnnouncedOrNot) {
  start();
  EXPECT_NE(ask("POST /echo HTTP/1.1\r\nContent-Length: 1001\r\n\r\n").find("413 "),
            std::string::npos);
  std::string chunks = "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 11; ++i) chunks += "64\r\n" + std::string(100, 'x') + "\r\n";
  EXPECT_NE(ask(chunks + "0\r\n\r\n").find("413 "), std::string::npos);
}

TEST_F(HttpServerTest, SlowHeaderIsCutOff) {
  start();
  RawClient client(path());
  client.send("GET /hello HTTP/1.1\r\nHo");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(client.read_all(), "");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, Millis(300));
}

TEST_F(HttpServerTest, SlowBodyIsCutOff) {
  start();
  RawClient client(path());
  client.send("POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_EQ(client.read_all(), "");
}

TEST_F(HttpServerTest, ConnectionsAboveTheLimitAreClosed) {
  start();
  RawClient first(path()), second(path()), third(path());
  for (auto* client : {&first, &second, &third}) {
    client->send("GET /hello?q=x HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_NE(client->read_until("me:x").find("200"), std::string::npos);
  }
  RawClient fourth(path());
  EXPECT_EQ(fourth.read_all(), "");
  // One leaves, one may come.
  first.send("GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n");
  first.read_all();
  while (loop_.on_loop([this] { return server_->connections(); }) == 3) std::this_thread::yield();
  EXPECT_NE(ask("GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n").find("200"), std::string::npos);
}

TEST_F(HttpServerTest, ThrowingHandlerIsOneFailedRequest) {
  start();
  RawClient client(path());
  client.send("GET /throws HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(client.read_until("}}").find("500 "), std::string::npos);
  EXPECT_NE(ask("GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n").find("200"), std::string::npos);
}

TEST_F(HttpServerTest, UploadLargerThanTheBodyLimit) {
  start();
  const std::string bytes(300'000, 'u');
  EXPECT_NE(
      ask("PUT /upload HTTP/1.1\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n" + bytes)
          .find("got 300000"),
      std::string::npos);
  EXPECT_NE(ask("PUT /upload HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                "5\r\nhello\r\n0\r\n\r\n")
                .find("got 5"),
            std::string::npos);
}

TEST_F(HttpServerTest, AnUploadIsReadAsItComes) {
  start();
  for (const char* head :
       {"Content-Length: 300000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n3\r\n"}) {
    RawClient client(path());
    client.send("PUT /first HTTP/1.1\r\n" + std::string(head) + "abc");
    EXPECT_NE(client.read_until("first").find("200 "), std::string::npos);
    EXPECT_NE(client.read_until("first abc").find("first abc"), std::string::npos);
  }
}

TEST_F(HttpServerTest, StalledUploadFails) {
  start();
  RawClient client(path());
  client.send("PUT /upload HTTP/1.1\r\nContent-Length: 300000\r\n\r\nabc");
  EXPECT_EQ(client.read_all(), "");
  EXPECT_EQ(upload_failed_.get_future().get(), Code::kTimeout);
}

TEST_F(HttpServerTest, RefusedUploadStillGetsItsAnswer) {
  start();
  const std::string bytes(300'000, 'u');
  EXPECT_NE(ask("PUT /refuse HTTP/1.1\r\nContent-Length: 300000\r\n\r\n" + bytes).find("403 "),
            std::string::npos);
}

// What a fast sender has under way when the answer comes must be read too: closing before would
// reset the connection, and over TCP the answer would be lost with it.
TEST_F(HttpServerTest, ARefusedUploadMayHaveMuchUnderWay) {
  start();
  RawClient client(path());
  EXPECT_TRUE(client.send("PUT /refuse HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n" +
                          std::string(10'000'000, 'u')));
  EXPECT_NE(client.read_until("403 ").find("403 "), std::string::npos);
}

TEST_F(HttpServerTest, ExpectContinue) {
  start();
  RawClient client(path());
  client.send("POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_NE(client.read_until("\r\n\r\n").find("100 Continue"), std::string::npos);
  client.send("ok");
  EXPECT_NE(client.read_until("ok").find("200 OK"), std::string::npos);
}

TEST_F(HttpServerTest, StreamEndsWithItsListener) {
  start();
  RawClient client(path());
  client.send("GET /lines HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(client.read_until("one").find("chunked"), std::string::npos);
  client.close();
  EXPECT_EQ(stream_ended_.get_future().wait_for(std::chrono::seconds(10)),
            std::future_status::ready);
}

// The limits of a request are none of the stream's: an agent listens for hours.
TEST_F(HttpServerTest, AStreamOutlivesTheLimitsOfARequest) {
  limits_.request = Millis(50);
  router_.on_stream("GET", "/rare", [](Request, LineWriter& lines) -> Task<void> {
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
    for (const std::string line : {"first", "second", "third"}) {
      if (!co_await lines.write_line(line)) co_return;
      timer.expires_after(Millis(200));
      co_await timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    }
  });
  start();
  RawClient client(path());
  client.send("GET /rare HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(client.read_all().find("third"), std::string::npos);
}

TEST_F(HttpServerTest, StopCancelsStreamsAndRemovesTheFile) {
  start();
  RawClient client(path());
  client.send("GET /lines HTTP/1.1\r\nHost: x\r\n\r\n");
  client.read_until("one");
  loop_.on_loop([this] { server_->stop(); });
  EXPECT_EQ(stream_ended_.get_future().wait_for(std::chrono::seconds(10)),
            std::future_status::ready);
  client.read_all();
  EXPECT_FALSE(std::filesystem::exists(path()));
  loop_.on_loop([this] { server_->stop(); });
}

TEST_F(HttpServerTest, OldSocketIsReplacedALiveOneIsNot) {
  start();
  loop_.on_loop([this] {
    const auto second = serve_unix(loop_.loop, path(), 0600, "", router_, limits_);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::kConflict);
  });
  const std::string old = directory_ / "old";
  const UniqueFd left_over(socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  old.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(left_over.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  loop_.on_loop([&] {
    const auto server = serve_unix(loop_.loop, old, 0600, "", router_, limits_);
    EXPECT_TRUE(server) << server.error().message;
    struct stat info {};
    EXPECT_EQ(stat(old.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
  });
}

TEST_F(HttpServerTest, PathsLongerThanASocketAddress) {
  const std::string deep = directory_ / std::string(90, 'd');
  std::filesystem::create_directories(deep);
  loop_.on_loop([&] {
    const auto server =
        serve_unix(loop_.loop, deep + "/supervisor.sock", 0600, "", router_, limits_);
    EXPECT_TRUE(server) << server.error().message;
    EXPECT_TRUE(std::filesystem::exists(deep + "/supervisor.sock"));
  });
  EXPECT_FALSE(std::filesystem::exists(deep + "/supervisor.sock"));
}

}  // namespace
}  // namespace icon::http
