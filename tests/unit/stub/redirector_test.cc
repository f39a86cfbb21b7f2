// The redirector on loopback: what a client gets, and what a hostile one does not.
#include "stub/redirector.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <future>
#include <optional>
#include <string>
#include <thread>

#include "stub/answer.h"
#include "stub/control.h"

namespace icon::stub {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr Millis kPatience{5'000};

UniqueFd listen_on_loopback(std::uint16_t& port) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(listen(fd.get(), 64), 0);
  socklen_t length = sizeof address;
  getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length);
  port = ntohs(address.sin_port);
  return fd;
}

class Client {
 public:
  explicit Client(std::uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    EXPECT_EQ(connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  bool send(std::string_view bytes) {
    return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  void end_sending() { shutdown(fd_.get(), SHUT_WR); }
  // Until the server closes; nullopt when it does not within `kPatience`.
  std::optional<std::string> read_all() {
    std::string text;
    for (;;) {
      pollfd readable{fd_.get(), POLLIN, 0};
      if (poll(&readable, 1, static_cast<int>(kPatience.count())) <= 0) return std::nullopt;
      char chunk[4096];
      const ssize_t count = recv(fd_.get(), chunk, sizeof chunk, 0);
      if (count <= 0) return text;
      text.append(chunk, static_cast<std::size_t>(count));
    }
  }
  bool is_closed_within(Millis limit) {
    pollfd readable{fd_.get(), POLLIN, 0};
    char byte = 0;
    return poll(&readable, 1, static_cast<int>(limit.count())) > 0 &&
           recv(fd_.get(), &byte, 1, 0) <= 0;
  }
  std::string read_some() {
    pollfd readable{fd_.get(), POLLIN, 0};
    if (poll(&readable, 1, static_cast<int>(kPatience.count())) <= 0) return {};
    char chunk[4096];
    const ssize_t count = recv(fd_.get(), chunk, sizeof chunk, 0);
    return count <= 0 ? std::string() : std::string(chunk, static_cast<std::size_t>(count));
  }

 private:
  UniqueFd fd_;
};

class RedirectorTest : public ::testing::Test {
 protected:
  void start(RedirectorSettings settings) {
    redirector_ = std::make_unique<Redirector>(loop_, clock_, settings);
    ASSERT_TRUE(redirector_->add_listener(listen_on_loopback(port_)));
    const Route route{"abc", port_, "198.51.100.7", 8080, clock_.utc_ms() + 60'000};
    redirector_->set_routes(*RouteTable::from_routes({route}));
    thread_ = std::thread([this] { loop_.run(); });
  }
  void TearDown() override {
    stop();
    redirector_.reset();
  }
  // After this the redirector may be used from the test's thread.
  void stop() {
    loop_.stop();
    if (thread_.joinable()) thread_.join();
  }
  // The counter's value once it is `expected`, or after the patience is over: a client may see its
  // end before the redirector has counted it.
  std::uint64_t counted(std::uint64_t StubStatistics::*counter, std::uint64_t expected) {
    const auto limit = clock_.steady() + kPatience;
    for (;;) {
      std::promise<std::uint64_t> value;
      boost::asio::post(loop_, [&] { value.set_value(redirector_->statistics().*counter); });
      const auto now = value.get_future().get();
      if (now == expected || clock_.steady() >= limit) return now;
    }
  }

  SystemClock clock_;
  IoContext loop_{1};
  std::unique_ptr<Redirector> redirector_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

const std::string kGet = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

TEST_F(RedirectorTest, AnswersSeveralRequestsOnOneConnection) {
  start({});
  Client client(port_);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.send(kGet));
    EXPECT_THAT(client.read_some(), HasSubstr("Location: http://198.51.100.7:8080/a\r\n"));
  }
  EXPECT_EQ(counted(&StubStatistics::redirected, 3), 3u);
}

TEST_F(RedirectorTest, AnswersPipelinedRequestsInOrder) {
  start({});
  Client client(port_);
  ASSERT_TRUE(
      client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
                  "GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  client.end_sending();
  const auto text = client.read_all();
  ASSERT_TRUE(text);
  EXPECT_LT(text->find("8080/1\r\n"), text->find("8080/2\r\n"));
  EXPECT_NE(text->find("8080/2\r\n"), std::string::npos);
}

TEST_F(RedirectorTest, EndsAConnectionAfterItsLastRequest) {
  start({.requests_per_connection_max = 2});
  Client client(port_);
  ASSERT_TRUE(client.send(kGet + kGet + kGet));
  client.end_sending();
  const auto text = client.read_all();
  ASSERT_TRUE(text);
  EXPECT_THAT(*text, HasSubstr("Connection: close"));
  EXPECT_EQ(counted(&StubStatistics::redirected, 2), 2u);
}

TEST_F(RedirectorTest, ClosesOnOtherProtocolsWithoutAWord) {
  start({});
  Client client(port_);
  ASSERT_TRUE(client.send("*1\r\n$4\r\nPING\r\n"));
  EXPECT_EQ(client.read_all(), "");
  EXPECT_EQ(counted(&StubStatistics::rejected, 1), 1u);
}

TEST_F(RedirectorTest, AClientThatDripsBytesIsCutOff) {
  start({.request_max = Millis(300)});
  Client client(port_);
  const auto started = clock_.steady();
  ASSERT_TRUE(client.send("GET / HTTP/1.1\r\nHost: a\r\nX: "));
  // Each byte comes well within the limit: traffic alone must not extend it.
  bool cut = false;
  while (!cut && clock_.steady() - started < kPatience) {
    client.send("a");
    cut = client.is_closed_within(Millis(20));
  }
  EXPECT_TRUE(cut);
  EXPECT_GE(clock_.steady() - started, Millis(250));
  EXPECT_EQ(counted(&StubStatistics::rejected, 1), 1u);
}

TEST_F(RedirectorTest, ASilentClientIsCutOff) {
  start({.request_max = Millis(100)});
  Client client(port_);
  EXPECT_EQ(client.read_all(), "");
  EXPECT_EQ(counted(&StubStatistics::rejected, 1), 1u);
}

TEST_F(RedirectorTest, SlowClientsDoNotKeepOthersOut) {
  start({.clients = {.connections_per_client_max = 20}});
  std::vector<std::unique_ptr<Client>> slow;
  for (int i = 0; i < 19; ++i) {
    slow.push_back(std::make_unique<Client>(port_));
    ASSERT_TRUE(slow.back()->send("GET / HT"));
  }
  Client client(port_);
  ASSERT_TRUE(client.send(kGet));
  EXPECT_THAT(client.read_some(), StartsWith("HTTP/1.1 307"));
}

TEST_F(RedirectorTest, RefusesConnectionsOverTheLimitAtOnce) {
  start({.clients = {.connections_per_client_max = 1}});
  Client first(port_);
  ASSERT_TRUE(first.send(kGet));
  EXPECT_THAT(first.read_some(), StartsWith("HTTP/1.1 307"));
  Client second(port_);
  EXPECT_EQ(second.read_all(), "");
  EXPECT_EQ(counted(&StubStatistics::connections_refused, 1), 1u);
}

TEST_F(RedirectorTest, SlowsDownAClientThatAsksTooOften) {
  start({.clients = {.requests_per_second = 0.001, .requests_burst = 1}});
  Client client(port_);
  ASSERT_TRUE(client.send(kGet));
  EXPECT_THAT(client.read_some(), StartsWith("HTTP/1.1 307"));
  ASSERT_TRUE(client.send(kGet));
  client.end_sending();
  const auto text = client.read_all();
  ASSERT_TRUE(text);
  EXPECT_THAT(*text, StartsWith("HTTP/1.1 429"));
}

TEST_F(RedirectorTest, AnswersAnEndlessHeadOnceAndCloses) {
  start({});
  Client client(port_);
  client.send("GET / HTTP/1.1\r\nX: " + std::string(kHeadBytesMax, 'a'));
  client.end_sending();
  const auto text = client.read_all();
  ASSERT_TRUE(text);
  EXPECT_THAT(*text, StartsWith("HTTP/1.1 431"));
}

TEST_F(RedirectorTest, AnAnswerArrivesAlthoughTheBodyIsNeverRead) {
  start({});
  Client client(port_);
  ASSERT_TRUE(client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n"));
  ASSERT_TRUE(client.send(std::string(40'000, 'b')));
  client.end_sending();
  const auto text = client.read_all();
  ASSERT_TRUE(text);
  EXPECT_THAT(*text, HasSubstr("Location: http://198.51.100.7:8080/up\r\n"));
}

TEST_F(RedirectorTest, ControlReplacesRoutesWholeOrNotAtAll) {
  start({});
  stop();
  const auto good =
      R"({"routes":[{"icon":"a","dialled_port":1,"host":"h","port":2,"expires_ms":9}]})";
  EXPECT_EQ(handle_control(*redirector_, "PUT", "/v1/routes", good).status, 200);
  EXPECT_EQ(redirector_->routes().size(), 1u);
  EXPECT_EQ(handle_control(*redirector_, "PUT", "/v1/routes", R"({"routes":[{}]})").status, 400);
  EXPECT_EQ(handle_control(*redirector_, "PUT", "/v1/routes", "nonsense").status, 400);
  EXPECT_EQ(redirector_->routes().size(), 1u);
  EXPECT_EQ(handle_control(*redirector_, "DELETE", "/v1/routes", "").status, 404);
  EXPECT_THAT(handle_control(*redirector_, "GET", "/v1/routes", "").body,
              HasSubstr("\"host\":\"h\""));
  EXPECT_THAT(handle_control(*redirector_, "GET", "/v1/status", "").body, HasSubstr("\"pid\""));
}

}  // namespace
}  // namespace icon::stub
