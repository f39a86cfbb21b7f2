// Calls to other hosts' supervisors: HTTP/1.1 over TLS 1.3 by libcurl, driven by the loop. Both
// sides prove an Ed25519 key. Certificates are self-signed: names, issuers and dates are not
// looked at, because the key is the identity, and it is pinned before a byte of the request leaves.
// Owned by Host. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/address.h"
#include "base/clock.h"
#include "base/http.h"
#include "base/keys.h"
#include "base/result.h"
#include "base/task.h"

namespace icon::supervisor {

// A request body that is made while it is sent. Pulled by the client when the connection has room.
class UploadSource {
 public:
  virtual ~UploadSource() = default;
  // The next bytes (valid until the next call), empty at the end. An error aborts the request and
  // becomes its result.
  virtual Task<Result<std::span<const char>>> next() = 0;
  // The request has ended, with an answer or without: a next() that waits returns now, whatever.
  virtual void request_ended() {}
};

// Over anything that gives its bytes the same way: an archive, a page stream. It must outlive this.
template <class Source>
class UploadOf final : public UploadSource {
 public:
  explicit UploadOf(Source& source) : source_(source) {}
  Task<Result<std::span<const char>>> next() override { co_return co_await source_.next(); }

 private:
  Source& source_;
};

struct PeerRequest {
  Endpoint api;
  std::optional<PublicKey> peer;  // whom we expect; nullopt: whoever it is (hello, offers)
  std::string method = "GET";
  std::string target;                         // "/v1/offers?x=y"
  std::string body;                           // application/json when not empty
  UploadSource* upload = nullptr;             // borrowed until the call returns; excludes `body`
  std::optional<std::uint64_t> upload_bytes;  // announced as Content-Length when known
  Millis connect_timeout{5'000};
  Millis total_timeout{30'000};   // of a request without `upload`; 0: none
  Millis stall_timeout{15'000};   // of one with `upload`: no byte moved for so long
  Millis answer_timeout{60'000};  // of one with `upload`: from its last byte to the answer
  std::size_t response_bytes_max = 4 << 20;
  std::function<void(std::uint64_t bytes_sent)> on_progress;  // now and then while uploading
};

struct PeerResponse {
  http::Response response;
  PublicKey peer;                   // the key that the peer proved
  std::int64_t connect_rtt_us = 0;  // of the TCP handshake; 0 when a connection was reused
  std::uint64_t bytes_sent = 0;
};

// What this host has said to others, TLS aside. Their calls are in their own count.
struct PeerTraffic {
  std::uint64_t requests = 0;
  std::uint64_t failed = 0;  // without any answer
  std::uint64_t sent_bytes = 0;
  std::uint64_t received_bytes = 0;
};

class PeerClient {
 public:
  static constexpr std::size_t kConnectionsIdleMax = 32;
  static constexpr std::size_t kRequestsMax = 256;  // at a time

  // Errors: kInternal when libcurl or OpenSSL fail to start.
  static Result<std::unique_ptr<PeerClient>> create(IoContext& loop, const KeyPair& key);
  virtual ~PeerClient() = default;

  // Any HTTP status is a response (http::body_or_error turns it into an Error). Errors:
  // kUnauthenticated (the peer's key is another; the message names both ids), kIo, kTimeout,
  // kLimit. Cancelling the coroutine drops the connection.
  virtual Task<Result<PeerResponse>> call(PeerRequest request) = 0;
  const PeerTraffic& traffic() const { return traffic_; }

 protected:
  PeerTraffic traffic_;
};

}  // namespace icon::supervisor
