#include "discovery/dns_channel.h"

#include <arpa/nameser.h>

#include <utility>
#include <vector>

#include "base/assert.h"

namespace icon::discovery {
namespace {

namespace asio = boost::asio;

constexpr int kEdnsBytes = 1232;  // fits an unfragmented packet everywhere (DNS flag day 2020)
constexpr Millis kTickMax{100};   // how late a c-ares timeout may be noticed
// Answers come in bursts while the loop does something else.
constexpr int kReceiveBufferBytes = 1 << 20;

}  // namespace

Error dns_error(int status, const std::string& what) {
  const std::string message = what + ": " + ares_strerror(status);
  switch (status) {
    case ARES_ETIMEOUT:
      return {Code::kTimeout, message};
    case ARES_ECONNREFUSED:
      return {Code::kUnavailable, what + ": no DNS server answers"};
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

struct DnsChannel::Watch {
  explicit Watch(IoContext& loop) : descriptor(loop) {}
  asio::posix::stream_descriptor descriptor;
  bool want_read = false;
  bool want_write = false;
  bool read_armed = false;
  bool write_armed = false;
  bool gone = false;
};

// Counts what is under way: only then must c-ares be called when no socket speaks.
struct DnsChannel::Question {
  DnsChannel& channel;
  ares_callback callback;
  void* argument;
};

DnsChannel::~DnsChannel() { ICON_ASSERT(handle_ == nullptr); }

Status DnsChannel::open(const std::string& server, Millis timeout) {
  ares_options settings{};
  // Answers with an error code are answers: who is asked next is decided above.
  settings.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_STAYOPEN | ARES_FLAG_EDNS |
                   ARES_FLAG_NOCHECKRESP;
  settings.timeout = static_cast<int>(timeout.count());
  settings.tries = 1;
  settings.ednspsz = kEdnsBytes;
  settings.socket_receive_buffer_size = kReceiveBufferBytes;
  settings.sock_state_cb = &DnsChannel::on_socket_state;
  settings.sock_state_cb_data = this;
  const int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
                   ARES_OPT_SOCK_RCVBUF | ARES_OPT_SOCK_STATE_CB;
  if (const int status = ares_init_options(&handle_, &settings, mask); status != ARES_SUCCESS) {
    handle_ = nullptr;
    return fail(dns_error(status, "start of the resolver"));
  }
  if (server.empty()) return {};
  if (const int status = ares_set_servers_ports_csv(handle_, server.c_str());
      status != ARES_SUCCESS) {
    close();
    return fail(dns_error(status, "DNS server " + server));
  }
  return {};
}

void DnsChannel::close() {
  if (handle_ == nullptr) return;
  ares_destroy(std::exchange(handle_, nullptr));
  for (auto& [fd, watch] : watches_) watch->descriptor.release();
  watches_.clear();
  tick_.cancel();
}

void DnsChannel::send(const std::string& name, RecordType type, ares_callback callback,
                      void* argument) {
  ++questions_;
  ares_query(handle_, name.c_str(), ns_c_in, static_cast<int>(type), &DnsChannel::on_answer,
             new Question{*this, callback, argument});
  start_tick();
}

void DnsChannel::on_answer(void* argument, int status, int timeouts, unsigned char* bytes,
                           int length) {
  const std::unique_ptr<Question> question(static_cast<Question*>(argument));
  --question->channel.questions_;
  question->callback(question->argument, status, timeouts, bytes, length);
}

Result<std::vector<std::string>> DnsChannel::system_servers() {
  ares_channel handle = nullptr;
  if (const int status = ares_init(&handle); status != ARES_SUCCESS)
    return fail(dns_error(status, "/etc/resolv.conf"));
  ares_addr_port_node* first = nullptr;
  std::vector<std::string> servers;
  if (ares_get_servers_ports(handle, &first) == ARES_SUCCESS) {
    for (const auto* node = first; node != nullptr; node = node->next) {
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(&node->addr);
      std::array<std::uint8_t, 4> four{};
      std::array<std::uint8_t, 16> sixteen{};
      std::copy_n(bytes, four.size(), four.begin());
      if (node->family == AF_INET6) std::copy_n(bytes, sixteen.size(), sixteen.begin());
      const auto port = static_cast<std::uint16_t>(node->udp_port == 0 ? 53 : node->udp_port);
      const Endpoint endpoint{node->family == AF_INET6 ? Address::v6(sixteen) : Address::v4(four),
                              port};
      servers.push_back(endpoint.to_string());
    }
    ares_free_data(first);
  }
  ares_destroy(handle);
  if (servers.empty()) servers.emplace_back("127.0.0.1:53");
  return servers;
}

// c-ares says which events of a socket it wants; neither: it is about to close it.
void DnsChannel::on_socket_state(void* self, ares_socket_t fd, int readable, int writable) {
  auto& channel = *static_cast<DnsChannel*>(self);
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
    // Then the question runs into its timeout, which is bounded.
    if (error) return;
    found = channel.watches_.emplace(fd, std::move(watch)).first;
  }
  found->second->want_read = readable != 0;
  found->second->want_write = writable != 0;
  channel.arm(fd, found->second);
}

void DnsChannel::arm(int fd, const std::shared_ptr<Watch>& watch) {
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

void DnsChannel::ready(ares_socket_t read_fd, ares_socket_t write_fd, int fd,
                       const std::shared_ptr<Watch>& watch) {
  if (handle_ == nullptr || watch->gone) return;
  ares_process_fd(handle_, read_fd, write_fd);
  if (handle_ != nullptr && !watch->gone) arm(fd, watch);
}

void DnsChannel::start_tick() {
  if (ticking_ || questions_ == 0 || handle_ == nullptr) return;
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

}  // namespace icon::discovery
