#include "base/http_server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <list>
#include <map>

#include "base/fd.h"
#include "base/http_session.h"
#include "base/log.h"
#include "base/socket_path.h"
#include "base/tls.h"

namespace icon::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;

using Tcp = asio::ip::tcp;
using Local = asio::local::stream_protocol;
using LocalStream = beast::basic_stream<Local>;
using TlsStream = beast::ssl_stream<beast::tcp_stream>;

// How long accepting rests when the process has no descriptor left.
constexpr Millis kAcceptRest{100};

struct OpenConnection {
  std::string address;  // of the peer; empty on unix sockets
  asio::cancellation_signal cancel;
};

// Shared by the server and its connections: a connection may outlast the server by a loop turn.
struct State {
  const Router& router;
  const Limits limits;
  const std::string icon_id;
  asio::ssl::context* tls = nullptr;
  std::list<std::shared_ptr<OpenConnection>> open{};
  std::map<std::string, std::size_t> per_address{};
  bool stopped = false;
  std::uint64_t refused = 0;
};
using StatePtr = std::shared_ptr<State>;
using Slot = std::list<std::shared_ptr<OpenConnection>>::iterator;

// Takes the connection off the list, however its coroutine ends.
class Registration {
 public:
  Registration(StatePtr state, Slot slot) : state_(std::move(state)), slot_(slot) {}
  Registration(Registration&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)), slot_(other.slot_) {}
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;
  ~Registration() {
    if (!state_) return;
    const auto count = state_->per_address.find((*slot_)->address);
    if (count != state_->per_address.end() && --count->second == 0)
      state_->per_address.erase(count);
    state_->open.erase(slot_);
  }

 private:
  StatePtr state_;
  Slot slot_;
};

template <class Stream>
class StreamConnection final : public Connection {
 public:
  explicit StreamConnection(Stream& stream) : stream_(stream) {}

  Task<Got> read_some(asio::mutable_buffer room) override {
    const auto [error, bytes] = co_await stream_.async_read_some(room, kNoThrow);
    co_return Got{error, bytes};
  }
  Task<boost::system::error_code> write(std::span<const asio::const_buffer> parts) override {
    const auto [error, bytes] = co_await asio::async_write(stream_, parts, kNoThrow);
    co_return error;
  }
  void expires_after(Millis time) override { beast::get_lowest_layer(stream_).expires_after(time); }
  void expires_never() override { beast::get_lowest_layer(stream_).expires_never(); }

 private:
  Stream& stream_;
};

Task<void> serve_connection(StatePtr state, Local::socket socket) {
  LocalStream stream(std::move(socket));
  StreamConnection connection(stream);
  const SessionContext context{state->router, state->limits, state->icon_id};
  co_await run_session(connection, context, std::nullopt);
}

Task<void> serve_connection(StatePtr state, Tcp::socket socket) {
  boost::system::error_code ignored;
  socket.set_option(Tcp::no_delay(true), ignored);
  std::optional<Address> caller;
  if (const auto remote = socket.remote_endpoint(ignored); !ignored)
    if (const auto address = Address::from_sockaddr(remote.data())) caller = *address;
  TlsStream stream(beast::tcp_stream(std::move(socket)), *state->tls);
  beast::get_lowest_layer(stream).expires_after(state->limits.request);
  const auto [error] = co_await stream.async_handshake(asio::ssl::stream_base::server, kNoThrow);
  if (error) {
    log::debug("http.handshake_failed", {{"what", error.message()}});
    co_return;
  }
  const auto key = tls::peer_key(stream.native_handle());
  if (!key) co_return;
  const SessionContext context{state->router, state->limits, state->icon_id, caller};
  StreamConnection connection(stream);
  co_await run_session(connection, context, *key);
  // A clean end tells the client that nothing was cut off; it gets one second for that.
  beast::get_lowest_layer(stream).expires_after(Millis(1'000));
  co_await stream.async_shutdown(kNoThrow);
}

template <class Socket>
Task<void> run_connection(StatePtr state, [[maybe_unused]] Registration registration,
                          Socket socket) {
  try {
    co_await serve_connection(state, std::move(socket));
  } catch (const boost::system::system_error& error) {
    if (error.code() != asio::error::operation_aborted)
      log::error("http.connection_failed", {{"what", error.what()}});
  }
}

std::string address_of(const Tcp::socket& socket) {
  boost::system::error_code error;
  const auto peer = socket.remote_endpoint(error);
  return error ? std::string() : peer.address().to_string();
}
std::string address_of(const Local::socket&) { return {}; }

// Named limits first: a connection above them is closed at once.
bool has_room(const State& state, const std::string& address) {
  if (state.open.size() >= state.limits.connections_max) return false;
  if (address.empty()) return true;
  const auto count = state.per_address.find(address);
  return count == state.per_address.end() ||
         count->second < state.limits.connections_per_address_max;
}

template <class Protocol>
void admit(IoContext& loop, const StatePtr& state, typename Protocol::socket socket) {
  const std::string address = address_of(socket);
  if (!has_room(*state, address)) {
    // Once per power of two: a flood must not fill the log as well.
    if ((++state->refused & (state->refused - 1)) == 0)
      log::warn("http.connections_full", {{"refused", state->refused}, {"peer", address}});
    return;
  }
  if (!address.empty()) ++state->per_address[address];
  auto connection = std::make_shared<OpenConnection>();
  connection->address = address;
  const Slot slot = state->open.insert(state->open.end(), connection);
  // The signal must outlive the coroutine by a turn of the loop: when it is emitted from outside
  // the loop, co_spawn's cancellation is a queued handler that points into it.
  auto keep = [&loop, connection](std::exception_ptr) { asio::post(loop, [connection] {}); };
  asio::co_spawn(loop, run_connection(state, Registration(state, slot), std::move(socket)),
                 asio::bind_cancellation_slot(connection->cancel.slot(), std::move(keep)));
}

template <class Protocol>
class Listener final : public Server {
 public:
  using Acceptor = typename Protocol::acceptor;

  Listener(IoContext& loop, Acceptor acceptor, StatePtr state, std::string path)
      : loop_(loop),
        acceptor_(std::make_shared<Acceptor>(std::move(acceptor))),
        state_(std::move(state)),
        path_(std::move(path)) {
    asio::co_spawn(loop_, accept_all(loop_, acceptor_, state_), asio::detached);
  }
  ~Listener() override { stop(); }

  void stop() override {
    if (std::exchange(state_->stopped, true)) return;
    boost::system::error_code ignored;
    acceptor_->close(ignored);
    if (!path_.empty()) unlink(path_.c_str());
    // A signal may end a connection at once and take it off the list.
    for (auto slot = state_->open.begin(); slot != state_->open.end();)
      (*slot++)->cancel.emit(asio::cancellation_type::terminal);
  }
  std::size_t connections() const override { return state_->open.size(); }
  Endpoint local_endpoint() const override;

 private:
  static Task<void> accept_all(IoContext& loop, std::shared_ptr<Acceptor> acceptor,
                               StatePtr state) {
    while (!state->stopped) {
      auto [error, socket] = co_await acceptor->async_accept(kNoThrow);
      if (state->stopped) break;
      if (error == asio::error::connection_aborted) continue;
      if (error) {
        log::warn("http.accept_failed", {{"what", error.message()}});
        asio::steady_timer rest(loop, kAcceptRest);
        co_await rest.async_wait(kNoThrow);
        continue;
      }
      admit<Protocol>(loop, state, std::move(socket));
    }
  }

  IoContext& loop_;
  std::shared_ptr<Acceptor> acceptor_;
  StatePtr state_;
  std::string path_;
};

template <>
Endpoint Listener<Tcp>::local_endpoint() const {
  boost::system::error_code error;
  const auto local = acceptor_->local_endpoint(error);
  if (error) return {};
  const auto address = Address::from_sockaddr(local.data());
  return {address ? *address : Address(), local.port()};
}

template <>
Endpoint Listener<Local>::local_endpoint() const {
  return {};
}

// An old socket file is in the way when nobody listens; somebody who does is a conflict.
Status make_way(const SocketPath& path, const std::string& shown) {
  struct stat info {};
  if (lstat(path.text.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode))
    return fail(Code::kConflict, shown + " exists and is no socket: move it away");
  const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_un address = path.address();
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
      errno == EAGAIN)
    return fail(Code::kConflict, "somebody listens on " + shown + " already");
  if (unlink(path.text.c_str()) != 0) return fail_errno("remove " + shown);
  return {};
}

}  // namespace

Result<std::unique_ptr<Server>> serve_unix(IoContext& loop, const std::string& path, unsigned mode,
                                           std::string icon_id, const Router& router,
                                           Limits limits) {
  ICON_TRY(const auto place, SocketPath::of(path));
  ICON_CHECK(make_way(place, path));
  Local::acceptor acceptor(loop);
  boost::system::error_code error;
  acceptor.open(Local(), error);
  // Nobody may connect between bind and chmod: until listen() a socket refuses.
  if (!error) acceptor.bind(Local::endpoint(place.text), error);
  if (error) return fail_errno("listen on " + path, error.value());
  if (chmod(place.text.c_str(), mode) != 0) return fail_errno("chmod " + path);
  acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return fail_errno("listen on " + path, error.value());
  auto state = std::make_shared<State>(State{router, limits, std::move(icon_id)});
  return std::unique_ptr<Server>(
      std::make_unique<Listener<Local>>(loop, std::move(acceptor), std::move(state), path));
}

Result<std::unique_ptr<Server>> serve_tls(IoContext& loop, const Endpoint& endpoint,
                                          asio::ssl::context& tls, const Router& router,
                                          Limits limits) {
  sockaddr_storage storage{};
  const socklen_t size = endpoint.address.to_sockaddr(endpoint.port, storage);
  Tcp::endpoint local;
  local.resize(size);
  std::memcpy(local.data(), &storage, size);
  Tcp::acceptor acceptor(loop);
  boost::system::error_code error;
  acceptor.open(local.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(local, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error == asio::error::address_in_use)
    return fail(Code::kConflict, "listen on " + endpoint.to_string() +
                                     ": the port is taken; stop who holds it or choose another");
  if (error) return fail_errno("listen on " + endpoint.to_string(), error.value());
  auto state = std::make_shared<State>(State{router, limits, {}, &tls});
  return std::unique_ptr<Server>(
      std::make_unique<Listener<Tcp>>(loop, std::move(acceptor), std::move(state), std::string()));
}

}  // namespace icon::http
