#include "supervisor/peer_client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <cstring>

#include "base/tls.h"
#include "supervisor/curl_loop.h"

namespace icon::supervisor {
namespace {

namespace asio = boost::asio;
// Small enough to stay in the cache between the copy into it and the encryption out of it.
constexpr long kUploadBufferBytes = 64 << 10;
constexpr long kReceiveBufferBytes = 64 << 10;
// How often an upload is looked at for stalls and progress.
constexpr Millis kUploadTick{250};

struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Easy = std::unique_ptr<CURL, FreeEasy>;
using List = std::unique_ptr<curl_slist, FreeList>;

std::string what_of(const PeerRequest& request) {
  return request.method + " " + request.target + " at " + request.api.to_string();
}

// One call while it runs: everything libcurl's callbacks touch. Never moves.
struct Transfer {
  Transfer(IoContext& loop, PeerRequest& request) : request(request), news(loop) {}
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  PeerRequest& request;
  asio::steady_timer news;  // cancelled when the transfer ended or wants bytes
  Easy easy;
  List headers;
  char error_text[CURL_ERROR_SIZE] = {};
  std::optional<PublicKey> observed;
  bool wrong_key = false;
  curl_socket_t socket = CURL_SOCKET_BAD;  // while it connects
  std::int64_t kernel_rtt_us = 0;
  std::string body;
  bool body_too_large = false;
  std::optional<CURLcode> done;
  // The upload: what the source gave and libcurl has not taken yet.
  std::span<const char> chunk;
  bool source_ended = false;
  bool hungry = false;       // libcurl is paused until there is more
  bool is_answered = false;  // the head of the answer is there: nobody wants the rest
  std::uint64_t taken = 0;

  void wake() { news.cancel(); }
};

bool judge_key(const PublicKey& key, void* pointer) {
  auto* transfer = static_cast<Transfer*>(pointer);
  transfer->observed = key;
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(transfer->socket, IPPROTO_TCP, TCP_INFO, &info, &size) == 0)
    transfer->kernel_rtt_us = info.tcpi_rtt;
  transfer->wrong_key = transfer->request.peer && *transfer->request.peer != key;
  return !transfer->wrong_key;
}

curl_socket_t on_open_socket(void* pointer, curlsocktype, curl_sockaddr* address) {
  auto* transfer = static_cast<Transfer*>(pointer);
  transfer->socket = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  return transfer->socket;
}

CURLcode on_ssl_context(CURL*, void* ssl_context, void* pointer) {
  tls::judge_servers(ssl_context, &judge_key, pointer);
  return CURLE_OK;
}

std::size_t on_body(char* data, std::size_t, std::size_t size, void* pointer) {
  auto* transfer = static_cast<Transfer*>(pointer);
  if (transfer->body.size() + size > transfer->request.response_bytes_max) {
    transfer->body_too_large = true;
    return 0;
  }
  transfer->body.append(data, size);
  return size;
}

// libcurl does not end a transfer whose sending is paused, though the answer has come.
std::size_t on_head(char*, std::size_t, std::size_t size, void* pointer) {
  auto* transfer = static_cast<Transfer*>(pointer);
  long status = 0;
  curl_easy_getinfo(transfer->easy.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status >= 200 && !std::exchange(transfer->is_answered, true)) {
    transfer->wake();
    transfer->request.upload->request_ended();
  }
  return size;
}

std::size_t on_read(char* data, std::size_t, std::size_t room, void* pointer) {
  auto* transfer = static_cast<Transfer*>(pointer);
  if (transfer->chunk.empty()) {
    if (transfer->source_ended) return 0;
    transfer->hungry = true;
    transfer->wake();
    return CURL_READFUNC_PAUSE;
  }
  const std::size_t count = std::min(room, transfer->chunk.size());
  std::memcpy(data, transfer->chunk.data(), count);
  transfer->chunk = transfer->chunk.subspan(count);
  transfer->taken += count;
  // Ask early: the next chunk is made while this one is encrypted and sent.
  if (transfer->chunk.empty() && !transfer->source_ended) transfer->wake();
  return count;
}

// 0 when a connection was reused. The kernel's own figure is free of our loop's delays.
std::int64_t connect_rtt_us(CURL* easy, std::int64_t kernel_rtt_us) {
  long connections = 0;
  curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connections);
  if (connections == 0) return 0;
  curl_off_t looked_up = 0;
  curl_off_t connected = 0;
  curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &looked_up);
  curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &connected);
  const std::int64_t rtt = std::max<std::int64_t>(connected - looked_up, 1);
  return kernel_rtt_us > 0 ? std::min(rtt, kernel_rtt_us) : rtt;
}

class CurlPeerClient final : public PeerClient {
 public:
  CurlPeerClient(IoContext& loop, std::shared_ptr<CurlLoop> curl, tls::Certificate certificate)
      : loop_(loop), curl_(std::move(curl)), certificate_(std::move(certificate)) {}
  ~CurlPeerClient() override {
    curl_->shut_down();
    explicit_bzero(certificate_.private_key_pem.data(), certificate_.private_key_pem.size());
  }

  Task<Result<PeerResponse>> call(PeerRequest request) override {
    if (curl_->transfers() >= kRequestsMax)
      co_return fail(Code::kLimit, "too many calls to peers at a time");
    Transfer transfer(loop_, request);
    ICON_CO_CHECK(set_up(transfer));
    // Also when the coroutine is cancelled: libcurl lets go before the transfer dies.
    const auto leave = [this](Transfer* gone) { curl_->remove(gone->easy.get()); };
    const std::unique_ptr<Transfer, decltype(leave)> on_every_way_out(&transfer, leave);
    ICON_CO_CHECK(curl_->add(transfer.easy.get(), [&transfer](CURLcode code) {
      transfer.done = code;
      transfer.wake();
      if (transfer.request.upload != nullptr) transfer.request.upload->request_ended();
    }));
    if (request.upload != nullptr) {
      ICON_CO_CHECK(co_await feed(transfer));
    } else {
      while (!transfer.done) co_await wait(transfer, Millis(60'000));
    }
    co_return finish(transfer);
  }

 private:
  Status set_up(Transfer& transfer) {
    const PeerRequest& request = transfer.request;
    transfer.easy.reset(curl_easy_init());
    CURL* easy = transfer.easy.get();
    if (easy == nullptr) return fail(Code::kInternal, "libcurl: no handle");
    const std::string url = "https://" + request.api.to_string() + request.target;
    curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");  // never what the environment says
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.error_text);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kReceiveBufferBytes);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(request.connect_timeout.count()));
    set_up_tls(transfer);
    transfer.headers.reset(curl_slist_append(nullptr, "Expect:"));
    if (request.upload != nullptr)
      set_up_upload(transfer);
    else
      set_up_body(transfer);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.headers.get());
    return {};
  }

  // Chain and host name checks are off because they ask about issuers and names, which mean
  // nothing here; judge_key() and the pin ask about the key, which is everything.
  void set_up_tls(Transfer& transfer) {
    CURL* easy = transfer.easy.get();
    const auto blob_of = [](std::string& text) {
      return curl_blob{text.data(), text.size(), CURL_BLOB_COPY};
    };
    curl_blob certificate = blob_of(certificate_.certificate_pem);
    curl_blob key = blob_of(certificate_.private_key_pem);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_3));
    curl_easy_setopt(easy, CURLOPT_TLS13_CIPHERS,
                     "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384");
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    curl_easy_setopt(easy, CURLOPT_SSLCERTTYPE, "PEM");
    curl_easy_setopt(easy, CURLOPT_SSLCERT_BLOB, &certificate);
    curl_easy_setopt(easy, CURLOPT_SSLKEYTYPE, "PEM");
    curl_easy_setopt(easy, CURLOPT_SSLKEY_BLOB, &key);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, &on_ssl_context);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, &transfer);
    if (transfer.request.peer) {
      // The pin is part of what libcurl compares before it reuses a connection.
      const std::string pin = tls::curl_pin(*transfer.request.peer);
      curl_easy_setopt(easy, CURLOPT_PINNEDPUBLICKEY, pin.c_str());
    } else {
      // Only a handshake shows whom we talk to.
      curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
      curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    }
  }

  static void set_up_body(Transfer& transfer) {
    CURL* easy = transfer.easy.get();
    const PeerRequest& request = transfer.request;
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.total_timeout.count()));
    if (request.body.empty() && request.method != "POST" && request.method != "PUT") return;
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.c_str());
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    transfer.headers.reset(
        curl_slist_append(transfer.headers.release(), "Content-Type: application/json"));
  }

  static void set_up_upload(Transfer& transfer) {
    CURL* easy = transfer.easy.get();
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, kUploadBufferBytes);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, &on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &on_head);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
    if (transfer.request.upload_bytes)
      curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
                       static_cast<curl_off_t>(*transfer.request.upload_bytes));
    else
      transfer.headers.reset(
          curl_slist_append(transfer.headers.release(), "Transfer-Encoding: chunked"));
    transfer.headers.reset(
        curl_slist_append(transfer.headers.release(), "Content-Type: application/octet-stream"));
  }

  static Task<void> wait(Transfer& transfer, Millis limit) {
    transfer.news.expires_after(limit);
    co_await transfer.news.async_wait(kNoThrow);
  }

  // Fills libcurl's hunger from the source; watches for stalls until the answer is there.
  Task<Status> feed(Transfer& transfer) {
    const PeerRequest& request = transfer.request;
    std::uint64_t seen = 0;
    auto last_move = std::chrono::steady_clock::now();
    while (!transfer.done) {
      if (transfer.chunk.empty() && !transfer.source_ended) {
        auto next = co_await request.upload->next();
        if (transfer.done) break;
        if (!next && !transfer.is_answered) co_return fail(next.error());
        transfer.chunk = next && !transfer.is_answered ? *next : std::span<const char>();
        transfer.source_ended = transfer.chunk.empty();
        last_move = std::chrono::steady_clock::now();
        if (std::exchange(transfer.hungry, false))
          curl_easy_pause(transfer.easy.get(), CURLPAUSE_CONT);
        continue;
      }
      co_await wait(transfer, kUploadTick);
      const auto now = std::chrono::steady_clock::now();
      const std::uint64_t moved = bytes_on_the_wire(transfer);
      if (moved != seen) {
        seen = moved;
        last_move = now;
        if (request.on_progress) request.on_progress(transfer.taken);
      }
      const Millis limit = transfer.source_ended && transfer.chunk.empty() ? request.answer_timeout
                                                                           : request.stall_timeout;
      if (!transfer.done && now - last_move > limit)
        co_return fail(Code::kTimeout, what_of(request) + ": stalled after " +
                                           std::to_string(transfer.taken) + " bytes");
    }
    co_return Status{};
  }

  static std::uint64_t bytes_on_the_wire(const Transfer& transfer) {
    curl_off_t bytes = 0;
    curl_easy_getinfo(transfer.easy.get(), CURLINFO_SIZE_UPLOAD_T, &bytes);
    return static_cast<std::uint64_t>(bytes);
  }

  void count(const Transfer& transfer) {
    CURL* easy = transfer.easy.get();
    curl_off_t down = 0;
    long head = 0;
    long asked = 0;
    curl_easy_getinfo(easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    curl_easy_getinfo(easy, CURLINFO_HEADER_SIZE, &head);
    curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &asked);  // a body that libcurl has whole, too
    ++traffic_.requests;
    if (*transfer.done != CURLE_OK) ++traffic_.failed;
    traffic_.sent_bytes += static_cast<std::uint64_t>(asked);
    if (transfer.request.upload != nullptr) traffic_.sent_bytes += transfer.taken;
    traffic_.received_bytes += static_cast<std::uint64_t>(down) + static_cast<std::uint64_t>(head);
  }

  Result<PeerResponse> finish(const Transfer& transfer) {
    const PeerRequest& request = transfer.request;
    const CURLcode code = *transfer.done;
    count(transfer);
    if (transfer.wrong_key || code == CURLE_SSL_PINNEDPUBKEYNOTMATCH)
      return fail(Code::kUnauthenticated,
                  request.api.to_string() + " proves key " +
                      (transfer.observed ? transfer.observed->id() : std::string("unknown")) +
                      ", expected was " + (request.peer ? request.peer->id() : std::string("any")));
    if (transfer.body_too_large)
      return fail(Code::kLimit, what_of(request) + ": the answer is larger than " +
                                    std::to_string(request.response_bytes_max) + " bytes");
    if (code != CURLE_OK) {
      const std::string why =
          transfer.error_text[0] != '\0' ? transfer.error_text : curl_easy_strerror(code);
      return fail(code == CURLE_OPERATION_TIMEDOUT ? Code::kTimeout : Code::kIo,
                  what_of(request) + ": " + why);
    }
    PeerResponse result;
    long status = 0;
    curl_easy_getinfo(transfer.easy.get(), CURLINFO_RESPONSE_CODE, &status);
    result.response.status = static_cast<int>(status);
    result.response.body = transfer.body;
    if (const char* type = nullptr;
        curl_easy_getinfo(transfer.easy.get(), CURLINFO_CONTENT_TYPE, &type) == CURLE_OK &&
        type != nullptr)
      result.response.content_type = type;
    if (transfer.observed)
      result.peer = *transfer.observed;
    else if (request.peer)
      result.peer = *request.peer;
    result.connect_rtt_us = connect_rtt_us(transfer.easy.get(), transfer.kernel_rtt_us);
    result.bytes_sent = transfer.taken;
    return result;
  }

  IoContext& loop_;
  std::shared_ptr<CurlLoop> curl_;
  tls::Certificate certificate_;
};

}  // namespace

Result<std::unique_ptr<PeerClient>> PeerClient::create(IoContext& loop, const KeyPair& key) {
  ICON_TRY(auto certificate, tls::self_signed(key));
  ICON_TRY(auto curl, CurlLoop::create(loop, static_cast<long>(kConnectionsIdleMax)));
  return std::unique_ptr<PeerClient>(
      std::make_unique<CurlPeerClient>(loop, std::move(curl), std::move(certificate)));
}

}  // namespace icon::supervisor
