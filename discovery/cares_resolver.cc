// The resolver on the real network: c-ares asks, Asio waits. Our own parser reads the answers.
#include <ares.h>
#include <arpa/nameser.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "discovery/resolver.h"

namespace icon::discovery {
namespace {

namespace asio = boost::asio;

constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);
constexpr int kEdnsBytes = 1232;  // fits an unfragmented packet everywhere (DNS flag day 2020)
constexpr Millis kTickMax{100};   // how late a c-ares timeout may be noticed

SteadyTime now() { return std::chrono::steady_clock::now(); }

Error error_of(int status, const std::string& what) {
  const std::string message = what + ": " + ares_strerror(status);
  switch (status) {
    case ARES_ETIMEOUT:
      return {Code::kTimeout, message};
    case ARES_ECONNREFUSED:
      return {Code::kUnavailable, what + ": no DNS server answers, or all refuse"};
    case ARES_EREFUSED:
      return {Code::kRefused, message};
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED:
      return {Code::kCancelled, what + ": the resolver was closed"};
    case ARES_EBADNAME:
    case ARES_EBADRESP:
      return {Code::kInvalid, message};
    default:
      return {Code::kIo, message};
  }
}

// Drives one c-ares channel: tells Asio which sockets to wait for and c-ares what happened there.
// Held by the handlers that wait; close() must come before the last owner lets go.
class Channel : public std::enable_shared_from_this<Channel> {
 public:
  explicit Channel(IoContext& loop) : loop_(loop), tick_(loop) {}
  ~Channel() { ICON_ASSERT(handle_ == nullptr); }

  Status open(const ResolverOptions& options, const std::string& servers) {
    ares_options settings{};
    settings.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_STAYOPEN | ARES_FLAG_EDNS;
    settings.timeout = static_cast<int>(options.try_timeout.count());
    settings.tries = options.tries;
    settings.ednspsz = kEdnsBytes;
    settings.sock_state_cb = &Channel::on_socket_state;
    settings.sock_state_cb_data = this;
    const int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
                     ARES_OPT_SOCK_STATE_CB;
    if (const int status = ares_init_options(&handle_, &settings, mask); status != ARES_SUCCESS) {
      handle_ = nullptr;
      return fail(error_of(status, "start of the resolver"));
    }
    if (servers.empty()) return {};
    if (const int status = ares_set_servers_ports_csv(handle_, servers.c_str());
        status != ARES_SUCCESS)
      return fail(error_of(status, "DNS servers " + servers));
    return {};
  }

  // Every callback of a query that is under way runs before this returns.
  void close() {
    if (handle_ == nullptr) return;
    ares_destroy(std::exchange(handle_, nullptr));
    for (auto& [fd, watch] : watches_) watch->descriptor.release();
    watches_.clear();
    tick_.cancel();
  }

  void send(const std::string& name, RecordType type, ares_callback callback, void* argument) {
    ares_query(handle_, name.c_str(), ns_c_in, static_cast<int>(type), callback, argument);
    start_tick();
  }

  // While queries are under way, c-ares must be called even when no socket speaks.
  void set_busy(bool busy) { busy_ = busy; }

 private:
  struct Watch {
    explicit Watch(IoContext& loop) : descriptor(loop) {}
    asio::posix::stream_descriptor descriptor;
    bool want_read = false;
    bool want_write = false;
    bool read_armed = false;
    bool write_armed = false;
    bool gone = false;
  };

  // c-ares says which events of a socket it wants; neither: it is about to close it.
  static void on_socket_state(void* self, ares_socket_t fd, int readable, int writable) {
    auto& channel = *static_cast<Channel*>(self);
    auto found = channel.watches_.find(fd);
    if (readable == 0 && writable == 0) {
      if (found == channel.watches_.end()) return;
      found->second->gone = true;
      found->second->descriptor.release();
      channel.watches_.erase(found);
      return;
    }
    if (found == channel.watches_.end()) {
      auto watch = std::make_shared<Watch>(channel.loop_);
      boost::system::error_code error;
      watch->descriptor.assign(fd, error);
      // Then the query runs into its timeout, which is bounded.
      if (error) return;
      found = channel.watches_.emplace(fd, std::move(watch)).first;
    }
    found->second->want_read = readable != 0;
    found->second->want_write = writable != 0;
    channel.arm(fd, found->second);
  }

  void arm(int fd, const std::shared_ptr<Watch>& watch) {
    if (watch->want_read && !watch->read_armed) {
      watch->read_armed = true;
      watch->descriptor.async_wait(asio::posix::descriptor_base::wait_read,
                                   [self = shared_from_this(), fd, watch](auto error) {
                                     watch->read_armed = false;
                                     if (!error) self->ready(fd, ARES_SOCKET_BAD, fd, watch);
                                   });
    }
    if (watch->want_write && !watch->write_armed) {
      watch->write_armed = true;
      watch->descriptor.async_wait(asio::posix::descriptor_base::wait_write,
                                   [self = shared_from_this(), fd, watch](auto error) {
                                     watch->write_armed = false;
                                     if (!error) self->ready(ARES_SOCKET_BAD, fd, fd, watch);
                                   });
    }
  }

  void ready(ares_socket_t read_fd, ares_socket_t write_fd, int fd,
             const std::shared_ptr<Watch>& watch) {
    if (handle_ == nullptr || watch->gone) return;
    ares_process_fd(handle_, read_fd, write_fd);
    if (handle_ != nullptr && !watch->gone) arm(fd, watch);
  }

  void start_tick() {
    if (ticking_ || !busy_ || handle_ == nullptr) return;
    timeval longest{0, std::chrono::duration_cast<Micros>(kTickMax).count()};
    timeval when{};
    const timeval* wait = ares_timeout(handle_, &longest, &when);
    ticking_ = true;
    tick_.expires_after(std::chrono::seconds(wait->tv_sec) + Micros(wait->tv_usec) + Millis(1));
    tick_.async_wait([self = shared_from_this()](auto error) {
      self->ticking_ = false;
      if (error || self->handle_ == nullptr) return;
      ares_process_fd(self->handle_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
      self->start_tick();
    });
  }

  IoContext& loop_;
  asio::steady_timer tick_;
  ares_channel handle_ = nullptr;
  std::map<int, std::shared_ptr<Watch>> watches_;
  bool busy_ = false;
  bool ticking_ = false;
};

class CaresResolver final : public Resolver {
 public:
  CaresResolver(IoContext& loop, ResolverOptions options, std::string servers)
      : loop_(loop), options_(std::move(options)), servers_(std::move(servers)) {}
  ~CaresResolver() override { close(); }

  Task<Result<Answer>> query(std::string name, RecordType type) override {
    ICON_CO_TRY(const std::string normal, normalise_name(name));
    const std::string what = normal + ' ' + std::string(to_string(type));
    ICON_CO_CHECK(co_await take_place(what));
    // The place is given back by on_answer, which c-ares always calls.
    if (!channel_) {
      auto channel = std::make_shared<Channel>(loop_);
      if (auto status = channel->open(options_, servers_); !status) {
        channel->close();
        give_place();
        co_return fail(status.error());
      }
      channel_ = std::move(channel);
    }
    auto state = std::make_shared<Pending>(loop_, this, normal, type);
    state->finished.expires_at(std::min(now() + options_.query_timeout, budget_end_));
    channel_->set_busy(true);
    channel_->send(normal, type, &CaresResolver::on_answer, new std::shared_ptr<Pending>(state));
    if (!state->result) {
      const auto [error] = co_await state->finished.async_wait(kNoThrow);
      if (!state->result && error) co_return fail(Code::kCancelled, what + ": cancelled");
    }
    if (!state->result) co_return fail(Code::kTimeout, what + ": no answer in time");
    co_return std::move(*state->result);
  }

  void start_budget(Millis budget) override { budget_end_ = now() + budget; }

  void close() override {
    ++generation_;
    for (auto& waiter : waiting_) waiter->finished.cancel();
    if (channel_) {
      channel_->close();
      channel_.reset();
    }
    silent_ = 0;
    dead_until_ = {};
  }

 private:
  struct Pending {
    Pending(IoContext& loop, CaresResolver* owner, std::string asked, RecordType asked_type)
        : resolver(owner), name(std::move(asked)), type(asked_type), finished(loop) {}
    CaresResolver* resolver;
    std::string name;
    RecordType type;
    asio::steady_timer finished;
    std::optional<Result<Answer>> result;
  };
  struct Waiter {
    explicit Waiter(IoContext& loop) : finished(loop) {}
    asio::steady_timer finished;
    bool woken = false;
  };

  Status usable(const std::string& what) const {
    if (now() >= budget_end_) return fail(Code::kTimeout, what + ": no time left to ask");
    if (now() < dead_until_) return fail(Code::kUnavailable, what + ": no DNS server answers");
    return {};
  }

  // Waits until fewer than in_flight_max queries are under way, first come, first served.
  Task<Status> take_place(const std::string& what) {
    ICON_CO_CHECK(usable(what));
    if (in_flight_ < options_.in_flight_max) {
      ++in_flight_;
      co_return Status{};
    }
    if (waiting_.size() >= options_.waiting_max)
      co_return fail(Code::kLimit, what + ": too many queries wait");
    const auto generation = generation_;
    const auto place = waiting_.insert(waiting_.end(), std::make_shared<Waiter>(loop_));
    const auto waiter = *place;
    waiter->finished.expires_at(budget_end_);
    co_await waiter->finished.async_wait(kNoThrow);
    if (!waiter->woken) {
      waiting_.erase(place);
      if (generation != generation_)
        co_return fail(Code::kCancelled, what + ": the resolver was closed");
      co_return fail(Code::kTimeout, what + ": no time left to ask");
    }
    // The place was handed over with the waking: in_flight_ counts it already.
    auto status = generation == generation_
                      ? usable(what)
                      : Status(fail(Code::kCancelled, what + ": the resolver was closed"));
    if (!status) give_place();
    co_return status;
  }

  void give_place() {
    if (!waiting_.empty()) {
      const auto waiter = waiting_.front();
      waiting_.pop_front();
      waiter->woken = true;
      waiter->finished.cancel();
      return;
    }
    --in_flight_;
    if (channel_) channel_->set_busy(in_flight_ > 0);
  }

  static void on_answer(void* argument, int status, int /*timeouts*/, unsigned char* bytes,
                        int length) {
    const std::unique_ptr<std::shared_ptr<Pending>> holder(
        static_cast<std::shared_ptr<Pending>*>(argument));
    Pending& pending = **holder;
    CaresResolver& self = *pending.resolver;
    const std::string what = pending.name + ' ' + std::string(to_string(pending.type));
    if (bytes != nullptr && length > 0) {
      pending.result =
          parse_answer({bytes, static_cast<std::size_t>(length)}, pending.name, pending.type);
    } else {
      pending.result = fail(error_of(status, what));
    }
    if (status == ARES_ETIMEOUT || status == ARES_ECONNREFUSED) {
      if (++self.silent_ >= self.options_.dead_after)
        self.dead_until_ = now() + self.options_.dead_for;
    } else if (bytes != nullptr) {
      self.silent_ = 0;
    }
    pending.finished.cancel();
    self.give_place();
  }

  IoContext& loop_;
  ResolverOptions options_;
  std::string servers_;
  std::shared_ptr<Channel> channel_;
  std::list<std::shared_ptr<Waiter>> waiting_;
  std::size_t in_flight_ = 0;
  std::uint64_t generation_ = 0;
  SteadyTime budget_end_ = SteadyTime::max();
  int silent_ = 0;
  SteadyTime dead_until_{};
};

Result<std::string> servers_csv(const std::vector<std::string>& servers) {
  std::string csv;
  for (const auto& server : servers) {
    Endpoint endpoint;
    if (const auto address = Address::parse(server)) {
      endpoint = {*address, 53};
    } else {
      ICON_TRY(endpoint, Endpoint::parse(server));
    }
    csv += (csv.empty() ? "" : ",") + endpoint.to_string();
  }
  return csv;
}

}  // namespace

Result<std::unique_ptr<Resolver>> make_cares_resolver(IoContext& loop, ResolverOptions options) {
  ICON_TRY(std::string servers, servers_csv(options.servers));
  if (options.in_flight_max < 1 || options.tries < 1 || options.try_timeout < Millis(1) ||
      options.query_timeout < Millis(1) || options.dead_after < 1)
    return fail(Code::kInvalid, "resolver options out of range");
  if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
    return fail(Code::kInternal, "c-ares does not start");
  return std::make_unique<CaresResolver>(loop, std::move(options), std::move(servers));
}

}  // namespace icon::discovery
