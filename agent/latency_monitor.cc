#include "agent/latency_monitor.h"

#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>

#include "base/fd.h"
#include "base/log.h"

namespace icon::agent {
namespace {

namespace asio = boost::asio;

constexpr Millis kDumpInterval{2'000};
// A dump may cost this part of a core: with very many connections it is made less often.
constexpr int kDumpCostDivisor = 200;
// The kernel fills at most this much per read of a dump.
constexpr std::size_t kDatagramBytesMax = 32 << 10;
constexpr int kDatagramsPerDumpMax = 20'000;
constexpr int kNotificationsPerWakeMax = 64;
constexpr int kReceiveBufferBytes = 1 << 20;

constexpr unsigned group_bit(int group) { return 1U << (group - 1); }

Result<UniqueFd> open_diag(unsigned groups) {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG));
  if (!fd) return fail(Code::kUnavailable, fail_errno("open sock_diag").value().message);
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBufferBytes, sizeof kReceiveBufferBytes);
  // Without bind the kernel accepts a membership and delivers nothing.
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail(Code::kUnavailable, fail_errno("bind sock_diag").value().message);
  return fd;
}

}  // namespace

class LatencyMonitor::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(IoContext& loop, LatencyTable& table, std::vector<std::uint16_t> ports,
          UniqueFd notifications)
      : table_(table),
        ports_(std::move(ports)),
        notifications_(loop, notifications.release()),
        timer_(loop) {
    std::sort(ports_.begin(), ports_.end());
  }

  void run() {
    wait_for_notifications();
    dump_periodically();
  }

  void close() {
    closed_ = true;
    timer_.cancel();
    notifications_.close();
  }

  Status dump() {
    // A socket of its own each time: one that gave up half-way would refuse the next dump.
    ICON_TRY(const UniqueFd socket, open_diag(0));
    table_.begin_dump();
    for (const int family : {AF_INET, AF_INET6}) ICON_CHECK(dump_family(socket.get(), family));
    table_.end_dump();
    return {};
  }

 private:
  void add(const TcpSample& sample) {
    if (std::binary_search(ports_.begin(), ports_.end(), sample.local_port)) table_.add(sample);
  }

  // Bytes of the next datagram that came from the kernel; 0: nothing there. Errors: kIo.
  Result<std::size_t> receive(int fd) {
    sockaddr_nl from{};
    iovec part{buffer_.data(), buffer_.size()};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    for (;;) {
      const ssize_t count = recvmsg(fd, &message, MSG_DONTWAIT);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
      if (count < 0) return fail_errno("read sock_diag");
      if (from.nl_pid == 0) return static_cast<std::size_t>(count);
    }
  }

  Status dump_family(int fd, int family) {
    const auto request = dump_request(family, ++sequence_);
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    if (sendto(fd, request.data(), request.size(), 0, reinterpret_cast<const sockaddr*>(&kernel),
               sizeof kernel) < 0)
      return fail_errno("ask sock_diag");
    // The kernel makes the next part of a dump inside our own read: there is nothing to wait for.
    for (int datagram = 0; datagram < kDatagramsPerDumpMax; ++datagram) {
      ICON_TRY(const std::size_t count, receive(fd));
      if (count == 0) return fail(Code::kIo, "sock_diag ended a dump early");
      const auto outcome = parse_diag({buffer_.data(), count}, false,
                                      [this](const TcpSample& sample) { add(sample); });
      // No IPv6 in this kernel: there is nothing to see.
      if (outcome.error == ENOENT && family == AF_INET6) return {};
      if (outcome.error != 0) return fail_errno("sock_diag dump", outcome.error);
      if (outcome.done) return {};
    }
    return fail(Code::kLimit, "sock_diag dump does not end");
  }

  void dump_periodically() {
    if (closed_) return;
    const auto begin = std::chrono::steady_clock::now();
    if (const auto status = dump(); !status && !failure_logged_) {
      failure_logged_ = true;
      log::warn("latency.dump_failed",
                {{"code", to_string(status.error().code)}, {"message", status.error().message}});
    }
    const auto took = std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now() - begin);
    timer_.expires_after(std::max(kDumpInterval, took * kDumpCostDivisor));
    timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
      if (!error) self->dump_periodically();
    });
  }

  void wait_for_notifications() {
    if (closed_) return;
    notifications_.async_wait(asio::posix::descriptor_base::wait_read,
                              [self = shared_from_this()](boost::system::error_code error) {
                                if (error || self->closed_) return;
                                self->read_notifications();
                                self->wait_for_notifications();
                              });
  }

  void read_notifications() {
    for (int datagram = 0; datagram < kNotificationsPerWakeMax; ++datagram) {
      const auto count = receive(notifications_.native_handle());
      // ENOBUFS: some were lost while we were busy; the next dump sees what is still open.
      if (!count || *count == 0) return;
      parse_diag({buffer_.data(), *count}, true, [this](const TcpSample& sample) { add(sample); });
    }
  }

  LatencyTable& table_;
  std::vector<std::uint16_t> ports_;
  asio::posix::stream_descriptor notifications_;
  asio::steady_timer timer_;
  std::array<std::byte, kDatagramBytesMax> buffer_{};
  std::uint32_t sequence_ = 0;
  bool closed_ = false;
  bool failure_logged_ = false;
};

LatencyMonitor::LatencyMonitor(IoContext& loop, LatencyTable& table) : loop_(loop), table_(table) {}

LatencyMonitor::~LatencyMonitor() { stop(); }

Status LatencyMonitor::start(std::vector<std::uint16_t> ports) {
  stop();
  if (ports.size() > kWatchedPortsMax)
    return fail(Code::kLimit, "more than " + std::to_string(kWatchedPortsMax) + " ports to watch");
  ICON_TRY(UniqueFd notifications,
           open_diag(group_bit(SKNLGRP_INET_TCP_DESTROY) | group_bit(SKNLGRP_INET6_TCP_DESTROY)));
  session_ = std::make_shared<Session>(loop_, table_, std::move(ports), std::move(notifications));
  session_->run();
  return {};
}

void LatencyMonitor::stop() {
  if (session_) session_->close();
  session_.reset();
}

Status LatencyMonitor::dump_now() {
  if (!session_) return fail(Code::kIo, "the latency monitor is stopped");
  return session_->dump();
}

}  // namespace icon::agent
