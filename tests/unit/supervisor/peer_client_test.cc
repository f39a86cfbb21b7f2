// The client against the real server over TLS on the loopback: who is believed, what is carried.
#include "supervisor/peer_client.h"

#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <vector>

#include "base/http_server.h"
#include "base/tls.h"
#include "supervisor/upload_pace.h"

namespace icon::supervisor {
namespace {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;

// Gives `total` bytes of a pattern in pieces of `piece`; fails after `fail_at`.
class PatternSource final : public UploadSource {
 public:
  PatternSource(std::size_t total, std::size_t piece, std::size_t fail_at = SIZE_MAX)
      : left_(total), fail_at_(fail_at), piece_(piece, 'p') {}
  Task<Result<std::span<const char>>> next() override {
    if (given_ >= fail_at_) co_return fail(Code::kIo, "the source broke");
    const std::size_t count = std::min(left_, piece_.size());
    left_ -= count;
    given_ += count;
    co_return std::span<const char>(piece_.data(), count);
  }

 private:
  std::size_t left_;
  std::size_t given_ = 0;
  std::size_t fail_at_;
  std::vector<char> piece_;
};

// Has nothing more to give until the request has ended.
class WaitingSource final : public UploadSource {
 public:
  explicit WaitingSource(IoContext& loop) : ended_(loop, asio::steady_timer::time_point::max()) {}
  Task<Result<std::span<const char>>> next() override {
    if (!std::exchange(has_given_, true)) co_return std::span<const char>("x", 1);
    co_await ended_.async_wait(asio::as_tuple(asio::use_awaitable));
    co_return fail(Code::kIo, "nobody wants it");
  }
  void request_ended() override { ended_.cancel(); }

 private:
  asio::steady_timer ended_;
  bool has_given_ = false;
};

class PeerClientTest : public ::testing::Test {
 protected:
  PeerClientTest() : server_key_(KeyPair::generate()), client_key_(KeyPair::generate()) {
    router_.on("GET", "/who", [this](http::Request request) -> Task<http::Response> {
      ++calls_;
      // The other direction: the server judges the key that the client proved.
      if (request.peer_key != client_key_.public_key())
        co_return http::error_response({Code::kUnauthenticated, "not you"});
      co_return http::Response{200, "text/plain", request.peer_key->id()};
    });
    router_.on("POST", "/echo", [](http::Request request) -> Task<http::Response> {
      co_return http::Response{200, "application/json", request.body};
    });
    router_.on("GET", "/large", [](http::Request) -> Task<http::Response> {
      co_return http::Response{200, "text/plain", std::string(100'000, 'x')};
    });
    router_.on("GET", "/slow", [this](http::Request) -> Task<http::Response> {
      asio::steady_timer timer(loop_, std::chrono::hours(1));
      co_await timer.async_wait(asio::use_awaitable);
      co_return http::Response{};
    });
    router_.on_upload("PUT", "/upload",
                      [this](http::Request, http::BodyReader& body) -> Task<http::Response> {
                        received_ = 0;
                        for (;;) {
                          const auto part = co_await body.read_some();
                          if (!part) co_return http::error_response(part.error());
                          if (part->empty()) break;
                          received_ += part->size();
                        }
                        co_return http::Response{200, "text/plain", std::to_string(received_)};
                      });
    router_.on_upload("PUT", "/refuse",
                      [](http::Request, http::BodyReader&) -> Task<http::Response> {
                        co_return http::error_response({Code::kRefused, "no room"});
                      });
    router_.on_upload("PUT", "/stuck",
                      [this](http::Request, http::BodyReader&) -> Task<http::Response> {
                        asio::steady_timer timer(loop_, std::chrono::hours(1));
                        co_await timer.async_wait(asio::use_awaitable);
                        co_return http::Response{};
                      });
    tls_ = std::move(*tls::server_context(server_key_));
    server_ = std::move(
        *http::serve_tls(loop_, *Endpoint::parse("127.0.0.1:0"), *tls_, router_, http::Limits{}));
    client_ = std::move(*PeerClient::create(loop_, client_key_));
  }

  PeerRequest request(std::string method, std::string target) {
    PeerRequest request;
    request.api = server_->local_endpoint();
    request.peer = server_key_.public_key();
    request.method = std::move(method);
    request.target = std::move(target);
    return request;
  }

  Result<PeerResponse> call(PeerRequest request) { return call_by(*client_, std::move(request)); }
  Result<PeerResponse> call_by(PeerClient& client, PeerRequest request) {
    std::optional<Result<PeerResponse>> result;
    asio::co_spawn(
        loop_,
        [](PeerClient& client, PeerRequest request,
           std::optional<Result<PeerResponse>>& result) -> Task<void> {
          auto answer = co_await client.call(std::move(request));
          result.emplace(std::move(answer));
        }(client, std::move(request), result),
        asio::detached);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!result && std::chrono::steady_clock::now() < end)
      loop_.run_one_for(std::chrono::seconds(1));
    if (!result) return fail(Code::kTimeout, "the test gave up");
    return std::move(*result);
  }

  IoContext loop_;
  KeyPair server_key_;
  KeyPair client_key_;
  http::Router router_;
  std::unique_ptr<asio::ssl::context> tls_;
  std::unique_ptr<http::Server> server_;
  std::unique_ptr<PeerClient> client_;
  std::size_t received_ = 0;
  int calls_ = 0;
};

TEST_F(PeerClientTest, BothSidesKnowWhomTheyTalkTo) {
  const auto answer = call(request("GET", "/who"));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->response.status, 200);
  EXPECT_EQ(answer->response.body, client_key_.id());
  EXPECT_EQ(answer->peer, server_key_.public_key());
  EXPECT_GT(answer->connect_rtt_us, 0);
  EXPECT_LT(answer->connect_rtt_us, 1'000'000);
}

TEST_F(PeerClientTest, AnAnswerEndsAnUploadThatWaitsForItsSource) {
  WaitingSource source(loop_);
  auto refused = request("PUT", "/refuse");
  refused.upload = &source;
  const auto answer = call(std::move(refused));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(http::body_or_error(answer->response).error().code, Code::kRefused);
}

TEST(UploadPace, WhoTricklesKeepsNoPlace) {
  const SteadyTime start{};
  UploadPace trickle(start);
  for (int s = 1; s < 120; ++s) EXPECT_TRUE(trickle.take(start + std::chrono::seconds(s), 1));
  const auto ended = trickle.take(start + UploadPace::kWindow, 1);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, Code::kTimeout);
  // A dump of a minute, with pages before and after.
  UploadPace source(start);
  EXPECT_TRUE(source.take(start + std::chrono::seconds(1), 2 << 20));
  EXPECT_TRUE(source.take(start + std::chrono::seconds(61), 100));
  EXPECT_TRUE(source.take(start + std::chrono::seconds(121), 1 << 20));
  EXPECT_FALSE(source.take(start + std::chrono::seconds(300), 100));
}

TEST_F(PeerClientTest, ConnectionsAreReused) {
  ASSERT_TRUE(call(request("GET", "/who")));
  const auto again = call(request("GET", "/who"));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->connect_rtt_us, 0);
  EXPECT_EQ(again->peer, server_key_.public_key());
  EXPECT_EQ(server_->connections(), 1u);
}

TEST_F(PeerClientTest, AWrongServerKeyIsRefusedBeforeTheRequest) {
  auto wrong = request("GET", "/who");
  const auto expected = KeyPair::generate();
  wrong.peer = expected.public_key();
  const auto answer = call(std::move(wrong));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kUnauthenticated);
  EXPECT_NE(answer.error().message.find(server_key_.id()), std::string::npos);
  EXPECT_NE(answer.error().message.find(expected.id()), std::string::npos);
  EXPECT_EQ(calls_, 0);
}

TEST_F(PeerClientTest, AConnectionToOneKeyIsNotReusedForAnother) {
  ASSERT_TRUE(call(request("GET", "/who")));
  auto wrong = request("GET", "/who");
  wrong.peer = KeyPair::generate().public_key();
  const auto answer = call(std::move(wrong));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kUnauthenticated);
  EXPECT_EQ(calls_, 1);
}

TEST_F(PeerClientTest, AWrongClientKeyIsRefusedByTheServer) {
  const auto stranger_key = KeyPair::generate();
  const auto stranger = std::move(*PeerClient::create(loop_, stranger_key));
  const auto answer = call_by(*stranger, request("GET", "/who"));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->response.status, 401);
  EXPECT_EQ(http::body_or_error(answer->response).error().code, Code::kUnauthenticated);
}

TEST_F(PeerClientTest, WithoutExpectationTheKeyIsObservedAnew) {
  for (int i = 0; i < 2; ++i) {
    auto any = request("GET", "/who");
    any.peer.reset();
    const auto answer = call(std::move(any));
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->peer, server_key_.public_key());
    EXPECT_GT(answer->connect_rtt_us, 0);
  }
}

// TLS 1.3 tells a client of its missing certificate only when it reads.
TEST_F(PeerClientTest, AClientWithoutCertificateGetsNothing) {
  asio::ssl::context bare(asio::ssl::context::tlsv13_client);
  bool answered = true;
  asio::co_spawn(
      loop_,
      [](asio::ssl::context& context, Endpoint server, bool& answered) -> Task<void> {
        asio::ssl::stream<Tcp::socket> stream(co_await asio::this_coro::executor, context);
        const Tcp::endpoint to(asio::ip::make_address(server.address.to_string()), server.port);
        co_await stream.next_layer().async_connect(to, asio::use_awaitable);
        try {
          co_await stream.async_handshake(asio::ssl::stream_base::client, asio::use_awaitable);
          const std::string text = "GET /who HTTP/1.1\r\nHost: x\r\n\r\n";
          co_await asio::async_write(stream, asio::buffer(text), asio::use_awaitable);
          char byte = 0;
          co_await stream.async_read_some(asio::buffer(&byte, 1), asio::use_awaitable);
        } catch (const boost::system::system_error&) {
          answered = false;
        }
      }(bare, server_->local_endpoint(), answered),
      asio::detached);
  loop_.run_for(std::chrono::milliseconds(500));
  EXPECT_FALSE(answered);
  EXPECT_EQ(calls_, 0);
}

TEST_F(PeerClientTest, BodiesGoBothWays) {
  auto post = request("POST", "/echo");
  post.body = R"({"a":1})";
  const auto answer = call(std::move(post));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->response.body, R"({"a":1})");
  EXPECT_EQ(answer->response.content_type, "application/json");
  const auto empty = call(request("POST", "/echo"));
  ASSERT_TRUE(empty) << empty.error().message;
  EXPECT_EQ(empty->response.body, "");
}

TEST_F(PeerClientTest, Limits) {
  auto large = request("GET", "/large");
  large.response_bytes_max = 1'000;
  EXPECT_EQ(call(std::move(large)).error().code, Code::kLimit);
  auto slow = request("GET", "/slow");
  slow.total_timeout = Millis(100);
  EXPECT_EQ(call(std::move(slow)).error().code, Code::kTimeout);
  auto nobody = request("GET", "/who");
  nobody.api.port = 1;
  EXPECT_EQ(call(std::move(nobody)).error().code, Code::kIo);
}

TEST_F(PeerClientTest, Uploads200MegabytesAtSpeed) {
  constexpr std::size_t kBytes = 200 << 20;
  PatternSource source(kBytes, 256 << 10);
  auto put = request("PUT", "/upload");
  put.upload = &source;
  std::uint64_t last_progress = 0;
  put.on_progress = [&](std::uint64_t bytes) { last_progress = bytes; };
  const auto begin = std::chrono::steady_clock::now();
  const auto answer = call(std::move(put));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->response.body, std::to_string(kBytes));
  EXPECT_EQ(answer->bytes_sent, kBytes);
  const double megabytes_per_s = 200 / took.count();
  RecordProperty("MB_per_s", static_cast<int>(megabytes_per_s));
  std::printf("200 MiB over TLS in one thread, both ends: %.0f MB/s\n", megabytes_per_s);
  // Far below what an idle machine does: only a stall or a slow path falls through here.
  EXPECT_GT(megabytes_per_s, 20);
  EXPECT_LE(last_progress, kBytes);
}

TEST_F(PeerClientTest, UploadsOfKnownLengthAndNone) {
  PatternSource source(1'000'000, 1'000);
  auto put = request("PUT", "/upload");
  put.upload = &source;
  put.upload_bytes = 1'000'000;
  EXPECT_EQ(call(std::move(put))->response.body, "1000000");
  PatternSource empty(0, 1);
  auto nothing = request("PUT", "/upload");
  nothing.upload = &empty;
  EXPECT_EQ(call(std::move(nothing))->response.body, "0");
}

TEST_F(PeerClientTest, ABrokenSourceEndsTheUpload) {
  PatternSource source(100 << 20, 1 << 20, 3 << 20);
  auto put = request("PUT", "/upload");
  put.upload = &source;
  const auto answer = call(std::move(put));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message, "the source broke");
  EXPECT_TRUE(call(request("GET", "/who")));
}

TEST_F(PeerClientTest, ARefusedUploadReportsTheReason) {
  PatternSource source(100 << 20, 1 << 20);
  auto put = request("PUT", "/refuse");
  put.upload = &source;
  const auto answer = call(std::move(put));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(http::body_or_error(answer->response).error().message, "no room");
}

TEST_F(PeerClientTest, AStalledUploadTimesOut) {
  PatternSource source(100 << 20, 1 << 20);
  auto put = request("PUT", "/stuck");
  put.upload = &source;
  put.stall_timeout = Millis(600);
  EXPECT_EQ(call(std::move(put)).error().code, Code::kTimeout);
}

TEST_F(PeerClientTest, CancellingDropsTheCall) {
  using asio::experimental::awaitable_operators::operator||;
  bool cancelled = false;
  auto slow = request("GET", "/slow");
  slow.total_timeout = Millis(0);
  asio::co_spawn(
      loop_,
      [](PeerClient& client, PeerRequest request, bool& cancelled) -> Task<void> {
        asio::steady_timer timer(co_await asio::this_coro::executor, Millis(200));
        const auto which =
            co_await (client.call(std::move(request)) || timer.async_wait(asio::use_awaitable));
        cancelled = which.index() == 1;
      }(*client_, std::move(slow), cancelled),
      asio::detached);
  loop_.run_for(std::chrono::milliseconds(600));
  EXPECT_TRUE(cancelled);
  EXPECT_TRUE(call(request("GET", "/who")));
}

}  // namespace
}  // namespace icon::supervisor
