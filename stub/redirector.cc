#include "stub/redirector.h"

#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <string>
#include <vector>

#include "base/address.h"
#include "stub/answer.h"

namespace icon::stub {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Stream = boost::beast::tcp_stream;

constexpr Millis kAcceptPause{100};  // after an accept that failed: out of descriptors, mostly

// <linux/netfilter_ipv6/ip6_tables.h>, which does not go together with <netinet/in.h>.
constexpr int kIp6OriginalDestination = 80;

std::uint16_t port_of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET)
    return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6)
    return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return 0;
}

std::uint16_t local_port(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  return port_of(address);
}

// The port the client dialled: what the packet carried before our nft rule redirected it. Without
// such a rule the kernel knows none, and the client dialled the listener itself.
std::uint16_t dialled_port(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &address, &length) == 0) return port_of(address);
  length = sizeof address;
  if (getsockopt(fd, SOL_IPV6, kIp6OriginalDestination, &address, &length) == 0)
    return port_of(address);
  return local_port(fd);
}

Address client_address(const tcp::endpoint& endpoint) {
  const auto address = Address::from_sockaddr(endpoint.data());
  return address ? *address : Address();
}

}  // namespace

// Coroutines share it: the loop may destroy their frames after the Redirector has gone.
class Redirector::Impl : public std::enable_shared_from_this<Redirector::Impl> {
 public:
  Impl(IoContext& loop, const Clock& clock, RedirectorSettings settings)
      : loop_(loop), clock_(clock), settings_(settings), clients_(settings.clients) {}

  Status add_listener(UniqueFd listener) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    if (getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0)
      return fail_errno("look at the listening socket");
    if (address.ss_family != AF_INET && address.ss_family != AF_INET6)
      return fail(Code::kInvalid, "the listening socket is not a TCP socket");
    boost::system::error_code error;
    tcp::acceptor acceptor(loop_);
    acceptor.assign(address.ss_family == AF_INET ? tcp::v4() : tcp::v6(), listener.get(), error);
    if (error) return fail(Code::kIo, "take the listening socket: " + error.message());
    (void)listener.release();
    acceptor.native_non_blocking(true, error);
    if (port_ == 0) port_ = port_of(address);
    asio::co_spawn(loop_, accept_all(shared_from_this(), std::move(acceptor)), asio::detached);
    return {};
  }

  Task<void> accept_all(std::shared_ptr<Impl> self, tcp::acceptor acceptor) {
    asio::steady_timer pause(loop_);
    for (;;) {
      tcp::endpoint peer;
      auto [error, socket] = co_await acceptor.async_accept(peer, kNoThrow);
      if (error == asio::error::operation_aborted) co_return;
      if (error) {
        pause.expires_after(kAcceptPause);
        co_await pause.async_wait(kNoThrow);
        continue;
      }
      ++statistics_.connections;
      const auto client = client_address(peer);
      if (!clients_.admit(client, clock_.steady())) {
        ++statistics_.connections_refused;
        continue;  // closes it
      }
      asio::co_spawn(loop_, serve(self, std::move(socket), client), asio::detached);
    }
  }

  Task<void> serve(std::shared_ptr<Impl> self, tcp::socket socket, Address client) {
    const Admission admission(self->clients_, client);
    const auto dialled = dialled_port(socket.native_handle());
    Stream stream(std::move(socket));
    std::string received;
    for (int request = 1; request <= settings_.requests_per_connection_max; ++request) {
      const auto outcome = co_await read_head(stream, received);
      if (outcome.parsed == Parsed::kNeedMore) co_return;  // gone, or too slow
      if (outcome.parsed == Parsed::kNotHttp) {
        ++statistics_.rejected;
        co_return;
      }
      const bool last = request == settings_.requests_per_connection_max;
      const Answer reply = decide(outcome, client, dialled, last);
      received.erase(0, outcome.head_bytes);
      stream.expires_after(settings_.answer_max);
      const auto [error, count] =
          co_await asio::async_write(stream, asio::buffer(reply.bytes), kNoThrow);
      if (error) co_return;
      if (reply.close) break;
    }
    co_await linger(stream);
  }

  // kNeedMore: the client has closed, or its time is up.
  Task<ParseOutcome> read_head(Stream& stream, std::string& received) {
    // One limit for the whole head, not per read: a byte now and then does not extend it.
    stream.expires_after(settings_.request_max);
    for (;;) {
      if (!received.empty()) {
        auto outcome = parse_head(received);
        if (outcome.parsed != Parsed::kNeedMore) co_return outcome;
      }
      std::array<char, 2048> chunk;
      const auto [error, count] = co_await stream.async_read_some(asio::buffer(chunk), kNoThrow);
      if (error) {
        if (!received.empty() || error == boost::beast::error::timeout) ++statistics_.rejected;
        co_return ParseOutcome{};
      }
      received.append(chunk.data(), count);
    }
  }

  Answer decide(const ParseOutcome& outcome, const Address& client, std::uint16_t dialled,
                bool last) {
    const auto now = clock_.utc_ms();
    Answer reply;
    if (!clients_.take_request(client, clock_.steady()))
      reply = rejection(429, now);
    else if (outcome.parsed == Parsed::kTooLarge)
      reply = rejection(431, now);
    else
      reply = answer(outcome.head, routes_.find(dialled, client, now), now, last);
    switch (reply.kind) {
      case AnswerKind::kRedirected:
        ++statistics_.redirected;
        break;
      case AnswerKind::kUnavailable:
        ++statistics_.unavailable;
        break;
      case AnswerKind::kRejected:
        ++statistics_.rejected;
        break;
    }
    return reply;
  }

  // Closing a socket with unread bytes resets it, and the client may lose the answer (RFC 9112,
  // 9.6): so drop a little of what it still sends first.
  Task<void> linger(Stream& stream) {
    boost::system::error_code ignored;
    stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
    stream.expires_after(settings_.linger_max);
    std::array<char, 4096> chunk;
    for (std::size_t dropped = 0; dropped < settings_.linger_bytes_max;) {
      const auto [error, count] = co_await stream.async_read_some(asio::buffer(chunk), kNoThrow);
      if (error) co_return;
      dropped += count;
    }
  }

  struct Admission {
    Admission(ClientLimits& limits, Address address) : clients(limits), client(address) {}
    Admission(const Admission&) = delete;
    Admission& operator=(const Admission&) = delete;
    ~Admission() { clients.release(client); }
    ClientLimits& clients;
    Address client;
  };

  IoContext& loop_;
  const Clock& clock_;
  RedirectorSettings settings_;
  ClientLimits clients_;
  RouteTable routes_;
  StubStatistics statistics_;
  std::uint16_t port_ = 0;
};

Redirector::Redirector(IoContext& loop, const Clock& clock, RedirectorSettings settings)
    : impl_(std::make_shared<Impl>(loop, clock, settings)) {}
Redirector::~Redirector() = default;

Status Redirector::add_listener(UniqueFd listener) {
  return impl_->add_listener(std::move(listener));
}
std::uint16_t Redirector::port() const { return impl_->port_; }
void Redirector::set_routes(RouteTable routes) { impl_->routes_ = std::move(routes); }
const RouteTable& Redirector::routes() const { return impl_->routes_; }
StubStatistics Redirector::statistics() const {
  StubStatistics statistics = impl_->statistics_;
  statistics.open = impl_->clients_.connections();
  return statistics;
}

}  // namespace icon::stub
