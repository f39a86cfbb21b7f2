// Drives libcurl's multi interface by the loop: sockets and timers become Asio waits. Private to
// the peer client. Loop thread only.
#pragma once

#include <curl/curl.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>

#include "base/result.h"
#include "base/task.h"

namespace icon::supervisor {

class CurlLoop : public std::enable_shared_from_this<CurlLoop> {
 public:
  // Called once per transfer, from the loop, when it has ended.
  using OnDone = std::function<void(CURLcode)>;

  // Errors: kInternal.
  static Result<std::shared_ptr<CurlLoop>> create(IoContext& loop, long idle_connections_max);
  ~CurlLoop();
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  // `easy` is borrowed until it is done or removed.
  Status add(CURL* easy, OnDone on_done);
  // Forgets a transfer; its on_done is not called any more. Unknown handles are fine.
  void remove(CURL* easy);
  // After curl_easy_pause(CURLPAUSE_CONT) libcurl wants to run at once.
  std::size_t transfers() const { return transfers_.size(); }
  // Closes everything; pending waits end without effect.
  void shut_down();

 private:
  struct Watch {
    explicit Watch(IoContext& loop, int fd) : descriptor(loop, fd) {}
    boost::asio::posix::stream_descriptor descriptor;
    int wanted = CURL_POLL_NONE;
    bool reading = false;
    bool writing = false;
  };

  explicit CurlLoop(IoContext& loop) : loop_(loop), timer_(loop) {}
  static int on_socket(CURL* easy, curl_socket_t fd, int what, void* self, void* watch);
  static int on_timer(CURLM* multi, long timeout_ms, void* self);
  void want(curl_socket_t fd, int what);
  void wait(const std::shared_ptr<Watch>& watch, bool read);
  void act(curl_socket_t fd, int events);
  void collect();

  IoContext& loop_;
  boost::asio::steady_timer timer_;
  CURLM* multi_ = nullptr;
  std::map<curl_socket_t, std::shared_ptr<Watch>> watches_;
  std::map<CURL*, OnDone> transfers_;
};

}  // namespace icon::supervisor
