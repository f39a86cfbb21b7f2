#include "lab/load.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>

#include "base/encoding.h"
#include "base/fd.h"

namespace icon::lab {
namespace {

constexpr std::size_t kReadBytes = 64 << 10;
constexpr std::size_t kCommandBytesMax = 4096;
constexpr std::size_t kOwedMaxPipelined = 1024;
constexpr int kEventsMax = 256;
constexpr std::uint64_t kCommandTag = ~0ULL;
constexpr std::uint64_t kSignalTag = ~0ULL - 1;

std::int64_t now_us() {
  return std::chrono::duration_cast<Micros>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct Connection {
  UniqueFd fd;
  std::unique_ptr<LoadProtocol> protocol;
  ReplyChecker checker;
  std::deque<std::int64_t> sent_us;  // one per owed reply
  std::string unsent;
  std::string unread;
  std::uint64_t requests = 0;
  std::int64_t last_reply_us = 0;
  bool connected = false;
  bool alive = false;
};

class LoadRun {
 public:
  LoadRun(const LoadOptions& options, int command_fd, int output_fd)
      : options_(options),
        command_fd_(command_fd),
        output_fd_(output_fd),
        owed_max_(options.owed_max != 0             ? options.owed_max
                  : options.protocol.name == "http" ? 1
                                                    : kOwedMaxPipelined),
        window_("start", options.connections, now_us()) {}

  Result<LoadReport> run() {
    ICON_CHECK(open_everything());
    ICON_CHECK(wait_connected());
    ICON_CHECK(write_line(json::Object{
        {"event", "connected"}, {"connections", connections_.size()}, {"alive", alive()}}));
    start_us_ = now_us();
    window_ = WindowStats("start", connections_.size(), start_us_);
    last_any_us_ = start_us_;
    for (auto& connection : connections_) connection.last_reply_us = start_us_;
    ICON_CHECK(send_until_stopped());
    ICON_CHECK(drain());
    for (auto& connection : connections_) connection.checker.give_up();
    auto report = make_report();
    ICON_CHECK(write_report("end", report));
    return report;
  }

 private:
  Status open_everything() {
    if (options_.connections == 0 || options_.connections > kLoadConnectionsMax)
      return fail(Code::kInvalid, fmt::format("connections: 1 to {}", kLoadConnectionsMax));
    if (!(options_.rate_per_s > 0 && options_.rate_per_s <= 10'000))
      return fail(Code::kInvalid, "rate: more than 0 and at most 10000 per second");
    epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
    if (!epoll_) return fail_errno("epoll_create1");
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    signals_.reset(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_) return fail_errno("signalfd");
    ICON_CHECK(watch(EPOLL_CTL_ADD, signals_.get(), kSignalTag, EPOLLIN));
    if (command_fd_ >= 0) {
      // A regular file or /dev/null cannot be watched and says nothing: no commands then.
      if (auto status = watch(EPOLL_CTL_ADD, command_fd_, kCommandTag, EPOLLIN); !status)
        command_fd_ = -1;
    }
    auto protocol = options_.protocol;
    if (protocol.tag.empty()) protocol.tag = random_token(6);
    connections_.resize(options_.connections);
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      protocol.connection = i;
      ICON_TRY(connections_[i].protocol, make_protocol(protocol));
      ICON_CHECK(open_connection(i));
    }
    return {};
  }

  Status open_connection(std::size_t i) {
    auto& connection = connections_[i];
    sockaddr_storage storage{};
    auto length = options_.target.address.to_sockaddr(options_.target.port, storage);
    connection.fd.reset(socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!connection.fd) return fail_errno("socket");
    const int on = 1;
    setsockopt(connection.fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!options_.sources.empty()) {
      const auto& source = options_.sources[i % options_.sources.size()];
      setsockopt(connection.fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
      sockaddr_storage from{};
      const auto from_length = source.to_sockaddr(0, from);
      if (bind(connection.fd.get(), reinterpret_cast<sockaddr*>(&from), from_length) != 0)
        return fail_errno("bind to " + source.to_string());
    }
    if (connect(connection.fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0 &&
        errno != EINPROGRESS)
      return fail_errno("connect to " + options_.target.to_string());
    connection.alive = true;
    return watch(EPOLL_CTL_ADD, connection.fd.get(), i, EPOLLOUT);
  }

  Status wait_connected() {
    const auto deadline = now_us() + Micros(options_.connect_max).count();
    while (!stop_ && alive() > 0 && connected() < alive()) {
      if (now_us() >= deadline)
        return fail(
            Code::kTimeout,
            fmt::format("{} of {} connections to {} were not accepted in time",
                        alive() - connected(), connections_.size(), options_.target.to_string()));
      ICON_CHECK(handle_events(deadline));
    }
    if (alive() == 0)
      return fail(Code::kIo, fmt::format("no connection to {}: {}", options_.target.to_string(),
                                         errors_.empty() ? "none asked for" : errors_.front()));
    return {};
  }

  Status send_until_stopped() {
    const auto interval_us = 1e6 / (options_.rate_per_s * static_cast<double>(connections_.size()));
    const auto due_us = [&](std::uint64_t turn) {
      return start_us_ + static_cast<std::int64_t>(interval_us * static_cast<double>(turn));
    };
    std::uint64_t turn = 0;  // the connections send one after the other, evenly spread
    const auto end_us =
        options_.duration.count() > 0 ? start_us_ + Micros(options_.duration).count() : INT64_MAX;
    const auto every_us = Micros(options_.report_every).count();
    auto report_us = every_us > 0 ? start_us_ + every_us : INT64_MAX;
    while (!stop_ && alive() > 0) {
      const auto now = now_us();
      if (now >= end_us) break;
      if (now >= report_us) {
        ICON_CHECK(write_report("report", make_report()));
        report_us = now + every_us;
      }
      // After a pause of our own (a busy machine) a burst would measure us, not the service.
      const auto late = static_cast<std::uint64_t>(
          std::max(0.0, static_cast<double>(now - start_us_) / interval_us));
      if (late > turn + connections_.size()) turn = late;
      for (; due_us(turn) <= now; ++turn) send_next(turn % connections_.size());
      ICON_CHECK(handle_events(std::min({due_us(turn), report_us, end_us})));
    }
    return {};
  }

  Status drain() {
    const auto deadline = now_us() + Micros(options_.drain_max).count();
    while (!signalled_ && owed() > 0 && now_us() < deadline) ICON_CHECK(handle_events(deadline));
    return {};
  }

  void send_next(std::size_t i) {
    auto& connection = connections_[i];
    if (!connection.alive || connection.checker.owed() >= owed_max_) return;
    auto exchange = connection.protocol->exchange(connection.requests++);
    connection.checker.sent(std::move(exchange.reply));
    connection.sent_us.push_back(now_us());
    connection.unsent += exchange.request;
    flush(i);
  }

  void flush(std::size_t i) {
    auto& connection = connections_[i];
    while (!connection.unsent.empty()) {
      const auto sent = send(connection.fd.get(), connection.unsent.data(),
                             connection.unsent.size(), MSG_NOSIGNAL);
      if (sent < 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN) return end_connection(i, std::strerror(errno));
        break;
      }
      connection.unsent.erase(0, static_cast<std::size_t>(sent));
    }
    const auto wanted = connection.unsent.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT;
    if (auto status = watch(EPOLL_CTL_MOD, connection.fd.get(), i, wanted); !status)
      end_connection(i, status.error().message);
  }

  void receive(std::size_t i) {
    auto& connection = connections_[i];
    char buffer[kReadBytes];
    while (connection.alive) {
      const auto got = recv(connection.fd.get(), buffer, sizeof buffer, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return;
      if (got < 0) return end_connection(i, std::strerror(errno));
      if (got == 0) return end_connection(i, "closed by the service");
      connection.unread.append(buffer, static_cast<std::size_t>(got));
      judge(i);
    }
  }

  // Takes every whole reply out of what was read.
  void judge(std::size_t i) {
    auto& connection = connections_[i];
    const auto now = now_us();
    std::size_t at = 0;
    while (connection.alive && at < connection.unread.size()) {
      auto reply = connection.protocol->parse(std::string_view(connection.unread).substr(at));
      if (!reply) return end_connection(i, reply.error().message);
      if (!*reply) break;
      at += (*reply)->bytes;
      const auto verdict = connection.checker.received((*reply)->content);
      if (verdict != Verdict::kRight && errors_.size() < kLoadErrorsMax)
        errors_.push_back(fmt::format("connection {}: unexpected reply '{}'", i,
                                      (*reply)->content.substr(0, 80)));
      auto sent_us = now;
      while (connection.sent_us.size() > connection.checker.owed()) {
        sent_us = connection.sent_us.front();
        connection.sent_us.pop_front();
      }
      window_.reply(i, now, now - sent_us, now - connection.last_reply_us, now - last_any_us_);
      connection.last_reply_us = now;
      last_any_us_ = now;
      if ((*reply)->closes) return end_connection(i, "the service announced the end");
    }
    connection.unread.erase(0, at);
  }

  void end_connection(std::size_t i, const std::string& why) {
    auto& connection = connections_[i];
    if (!connection.alive) return;
    connection.alive = false;
    connection.fd.reset();
    connection.checker.give_up();
    connection.sent_us.clear();
    if (errors_.size() < kLoadErrorsMax)
      errors_.push_back(fmt::format("connection {}: {}", i, why));
  }

  Status handle_events(std::int64_t until_us) {
    const auto wait_us = std::max<std::int64_t>(0, until_us - now_us());
    const timespec timeout{wait_us / 1'000'000, wait_us % 1'000'000 * 1'000};
    epoll_event events[kEventsMax];
    const auto count = epoll_pwait2(epoll_.get(), events, kEventsMax, &timeout, nullptr);
    if (count < 0 && errno != EINTR) return fail_errno("epoll_pwait2");
    for (int n = 0; n < count; ++n) {
      const auto tag = events[n].data.u64;
      if (tag == kSignalTag) {
        stop_ = signalled_ = true;
      } else if (tag == kCommandTag) {
        ICON_CHECK(read_commands());
      } else {
        handle_connection(static_cast<std::size_t>(tag), events[n].events);
      }
    }
    return {};
  }

  void handle_connection(std::size_t i, std::uint32_t events) {
    auto& connection = connections_[i];
    if (!connection.alive) return;
    if (!connection.connected) {
      int error = 0;
      socklen_t length = sizeof error;
      getsockopt(connection.fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
      if (error != 0) return end_connection(i, std::strerror(error));
      connection.connected = true;
      return flush(i);
    }
    if ((events & EPOLLOUT) != 0) flush(i);
    if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0 && connection.alive) receive(i);
  }

  Status read_commands() {
    char buffer[kCommandBytesMax];
    const auto got = read(command_fd_, buffer, sizeof buffer);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (got <= 0) {
      stop_ = true;
      epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, command_fd_, nullptr);
      return {};
    }
    commands_.append(buffer, static_cast<std::size_t>(got));
    for (std::size_t end = 0; (end = commands_.find('\n')) != std::string::npos;) {
      const auto line = commands_.substr(0, end);
      commands_.erase(0, end + 1);
      ICON_CHECK(obey(line));
    }
    if (commands_.size() > kCommandBytesMax) return fail(Code::kLimit, "a command is too long");
    return {};
  }

  Status obey(const std::string& command) {
    if (command == "stop") {
      stop_ = true;
    } else if (command == "report") {
      return write_report("report", make_report());
    } else if (command.starts_with("mark ")) {
      ICON_CHECK(write_report("window", make_report()));
      window_ = WindowStats(command.substr(5), connections_.size(), now_us());
      window_base_ = total();
    } else {
      return fail(Code::kInvalid, "unknown command '" + command + "': mark NAME, report or stop");
    }
    return {};
  }

  LoadReport make_report() {
    const auto now = now_us();
    for (std::size_t i = 0; i < connections_.size(); ++i)
      if (connections_[i].alive && connections_[i].checker.owed() > 0)
        window_.silence(i, now, now - connections_[i].last_reply_us);
    LoadReport report;
    window_.fill(report, now);
    report.connections = static_cast<std::int64_t>(connections_.size());
    report.alive = static_cast<std::int64_t>(alive());
    report.owed = static_cast<std::int64_t>(owed());
    report.total_replies = total();
    report.window_replies = difference(report.total_replies, window_base_);
    report.errors = errors_;
    return report;
  }

  // A reply that was late after all makes `lost` smaller again: never below zero in a window.
  static ReplyCounts difference(const ReplyCounts& now, const ReplyCounts& then) {
    const auto minus = [](std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; };
    return {minus(now.right, then.right), minus(now.lost, then.lost),
            minus(now.duplicated, then.duplicated), minus(now.reordered, then.reordered),
            minus(now.wrong, then.wrong)};
  }

  Status write_report(std::string_view event, const LoadReport& report) {
    auto object = report.to_json();
    object["event"] = event;
    return write_line(object);
  }

  Status write_line(const json::Object& object) {
    auto text = boost::json::serialize(object) + "\n";
    for (std::size_t at = 0; at < text.size();) {
      const auto wrote = write(output_fd_, text.data() + at, text.size() - at);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return fail_errno("write of a report");
      at += static_cast<std::size_t>(wrote);
    }
    return {};
  }

  Status watch(int operation, int fd, std::uint64_t tag, int events) {
    epoll_event event{};
    event.events = static_cast<std::uint32_t>(events);
    event.data.u64 = tag;
    if (epoll_ctl(epoll_.get(), operation, fd, &event) != 0) return fail_errno("epoll_ctl");
    return {};
  }

  template <class Predicate>
  std::size_t count(Predicate predicate) const {
    return static_cast<std::size_t>(
        std::count_if(connections_.begin(), connections_.end(), predicate));
  }
  std::size_t alive() const {
    return count([](const Connection& c) { return c.alive; });
  }
  std::size_t connected() const {
    return count([](const Connection& c) { return c.alive && c.connected; });
  }
  std::size_t owed() const {
    std::size_t sum = 0;
    for (const auto& connection : connections_) sum += connection.checker.owed();
    return sum;
  }
  ReplyCounts total() const {
    ReplyCounts sum;
    for (const auto& connection : connections_) sum += connection.checker.counts();
    return sum;
  }

  const LoadOptions& options_;
  int command_fd_;
  int output_fd_;
  std::size_t owed_max_;
  UniqueFd epoll_;
  UniqueFd signals_;
  std::vector<Connection> connections_;
  WindowStats window_;
  ReplyCounts window_base_;
  std::string commands_;
  std::vector<std::string> errors_;
  std::int64_t start_us_ = 0;
  std::int64_t last_any_us_ = 0;
  bool stop_ = false;
  bool signalled_ = false;
};

}  // namespace

Result<LoadReport> run_load(const LoadOptions& options, int command_fd, int output_fd) {
  return LoadRun(options, command_fd, output_fd).run();
}

bool flawless(const LoadReport& report) {
  auto faults = report.total_replies;
  faults.right = 0;
  return report.alive == report.connections && faults == ReplyCounts{};
}

}  // namespace icon::lab
