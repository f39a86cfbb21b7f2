// One DNS server through c-ares: tells Asio which sockets to wait for and c-ares what happened
// there.
#pragma once

#include <ares.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/task.h"
#include "discovery/dns_message.h"

namespace icon::discovery {

// What a c-ares status means. `what` was asked.
Error dns_error(int status, const std::string& what);

// Held by the handlers that wait; close() must come before the last owner lets go. Loop thread.
class DnsChannel : public std::enable_shared_from_this<DnsChannel> {
 public:
  explicit DnsChannel(IoContext& loop) : loop_(loop), tick_(loop) {}
  ~DnsChannel();

  // `server`: "192.0.2.1:53"; empty: those of /etc/resolv.conf. A question that nobody answers
  // ends after `timeout`; what is truncated is asked again by TCP. Errors: kInvalid, kIo.
  Status open(const std::string& server, Millis timeout);
  // Every callback of a question that is under way runs before this returns.
  void close();
  // The callback always comes, perhaps before this returns.
  void send(const std::string& name, RecordType type, ares_callback callback, void* argument);

  // The servers of /etc/resolv.conf as "address:port". Errors: kIo.
  static Result<std::vector<std::string>> system_servers();

 private:
  struct Watch;
  struct Question;
  static void on_socket_state(void* self, ares_socket_t fd, int readable, int writable);
  static void on_answer(void* argument, int status, int timeouts, unsigned char* bytes, int length);
  void arm(int fd, const std::shared_ptr<Watch>& watch);
  void ready(ares_socket_t read_fd, ares_socket_t write_fd, int fd,
             const std::shared_ptr<Watch>& watch);
  void start_tick();

  IoContext& loop_;
  boost::asio::steady_timer tick_;
  ares_channel handle_ = nullptr;
  std::map<int, std::shared_ptr<Watch>> watches_;
  std::size_t questions_ = 0;
  bool ticking_ = false;
};

}  // namespace icon::discovery
