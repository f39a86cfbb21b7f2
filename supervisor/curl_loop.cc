#include "supervisor/curl_loop.h"

#include <utility>

namespace icon::supervisor {
namespace asio = boost::asio;

Result<std::shared_ptr<CurlLoop>> CurlLoop::create(IoContext& loop, long idle_connections_max) {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) return fail(Code::kInternal, "libcurl does not start");
  std::shared_ptr<CurlLoop> self(new CurlLoop(loop));
  self->multi_ = curl_multi_init();
  if (self->multi_ == nullptr) return fail(Code::kInternal, "libcurl does not start");
  curl_multi_setopt(self->multi_, CURLMOPT_SOCKETFUNCTION, &CurlLoop::on_socket);
  curl_multi_setopt(self->multi_, CURLMOPT_SOCKETDATA, self.get());
  curl_multi_setopt(self->multi_, CURLMOPT_TIMERFUNCTION, &CurlLoop::on_timer);
  curl_multi_setopt(self->multi_, CURLMOPT_TIMERDATA, self.get());
  curl_multi_setopt(self->multi_, CURLMOPT_MAXCONNECTS, idle_connections_max);
  return self;
}

CurlLoop::~CurlLoop() { shut_down(); }

void CurlLoop::shut_down() {
  if (multi_ == nullptr) return;
  for (const auto& [easy, on_done] : transfers_) curl_multi_remove_handle(multi_, easy);
  transfers_.clear();
  curl_multi_cleanup(std::exchange(multi_, nullptr));
  timer_.cancel();
  for (auto& [fd, watch] : watches_) watch->descriptor.release();
  watches_.clear();
}

Status CurlLoop::add(CURL* easy, OnDone on_done) {
  if (multi_ == nullptr) return fail(Code::kCancelled, "the peer client has been shut down");
  transfers_.emplace(easy, std::move(on_done));
  const CURLMcode code = curl_multi_add_handle(multi_, easy);
  if (code == CURLM_OK) return {};
  transfers_.erase(easy);
  return fail(Code::kInternal, std::string("libcurl: ") + curl_multi_strerror(code));
}

void CurlLoop::remove(CURL* easy) {
  if (transfers_.erase(easy) > 0 && multi_ != nullptr) curl_multi_remove_handle(multi_, easy);
}

int CurlLoop::on_socket(CURL*, curl_socket_t fd, int what, void* self, void*) {
  static_cast<CurlLoop*>(self)->want(fd, what);
  return 0;
}

void CurlLoop::want(curl_socket_t fd, int what) {
  if (what == CURL_POLL_REMOVE) {
    const auto found = watches_.find(fd);
    if (found == watches_.end()) return;
    found->second->wanted = CURL_POLL_NONE;
    // libcurl closes the socket itself; ours was only a loan.
    found->second->descriptor.release();
    watches_.erase(found);
    return;
  }
  auto& watch = watches_[fd];
  if (!watch) watch = std::make_shared<Watch>(loop_, fd);
  watch->wanted = what;
  if ((what & CURL_POLL_IN) != 0) wait(watch, true);
  if ((what & CURL_POLL_OUT) != 0) wait(watch, false);
}

void CurlLoop::wait(const std::shared_ptr<Watch>& watch, bool read) {
  bool& pending = read ? watch->reading : watch->writing;
  if (std::exchange(pending, true)) return;
  const auto kind =
      read ? asio::posix::descriptor_base::wait_read : asio::posix::descriptor_base::wait_write;
  watch->descriptor.async_wait(
      kind, [weak = weak_from_this(), watch, read](const boost::system::error_code& error) {
        (read ? watch->reading : watch->writing) = false;
        const auto self = weak.lock();
        if (!self || error == asio::error::operation_aborted || !watch->descriptor.is_open())
          return;
        const int bit = read ? CURL_POLL_IN : CURL_POLL_OUT;
        if ((watch->wanted & bit) == 0) return;
        const int fd = watch->descriptor.native_handle();
        self->act(fd, error ? CURL_CSELECT_ERR : (read ? CURL_CSELECT_IN : CURL_CSELECT_OUT));
        if ((watch->wanted & bit) != 0 && watch->descriptor.is_open()) self->wait(watch, read);
      });
}

int CurlLoop::on_timer(CURLM*, long timeout_ms, void* pointer) {
  auto* self = static_cast<CurlLoop*>(pointer);
  self->timer_.cancel();
  if (timeout_ms < 0) return 0;
  self->timer_.expires_after(std::chrono::milliseconds(timeout_ms));
  self->timer_.async_wait([weak = self->weak_from_this()](const boost::system::error_code& error) {
    const auto alive = weak.lock();
    if (alive && !error) alive->act(CURL_SOCKET_TIMEOUT, 0);
  });
  return 0;
}

void CurlLoop::act(curl_socket_t fd, int events) {
  if (multi_ == nullptr) return;
  int running = 0;
  curl_multi_socket_action(multi_, fd, events, &running);
  collect();
}

void CurlLoop::collect() {
  int left = 0;
  while (multi_ != nullptr) {
    CURLMsg* message = curl_multi_info_read(multi_, &left);
    if (message == nullptr) return;
    if (message->msg != CURLMSG_DONE) continue;
    CURL* easy = message->easy_handle;
    const CURLcode code = message->data.result;
    const auto found = transfers_.find(easy);
    if (found == transfers_.end()) continue;
    const OnDone on_done = std::move(found->second);
    remove(easy);
    on_done(code);
  }
}

}  // namespace icon::supervisor
