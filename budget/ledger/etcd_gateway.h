// etcd (3.4 as Debian ships it) by its HTTP gateway: one JSON call at a time, to whichever node
// answers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/result.h"

namespace icon::budget::ledger {

struct EtcdOptions {
  std::vector<std::string>
      endpoints;        // "http://127.0.0.1:2379"; tried in turn, the last good first
  std::string prefix;   // of the keys: "/icon/ledger/NAME/"
  std::string ca_file;  // for https; all three or none
  std::string certificate_file;
  std::string key_file;
  Millis call_limit{5'000};  // for one node's answer
  std::size_t answer_bytes_max = 16 << 20;
};

// Keys and values travel in base64. Errors of the second: kInvalid, kLimit.
std::string etcd_encoded(std::string_view text);
Result<std::string> etcd_decoded(std::string text, std::size_t bytes_max);

// Blocking: for a thread or a program that may wait. One thread at a time.
class EtcdGateway {
 public:
  struct Traffic {
    std::uint64_t calls = 0;
    std::uint64_t failed = 0;
    std::uint64_t sent_bytes = 0;
    std::uint64_t received_bytes = 0;
  };

  // Connects to nothing yet. Errors: kInvalid (no endpoint, an empty prefix).
  static Result<EtcdGateway> create(EtcdOptions options);
  EtcdGateway(EtcdGateway&&) noexcept;
  EtcdGateway& operator=(EtcdGateway&&) noexcept;
  ~EtcdGateway();

  // `path`: "/v3/kv/range". Errors: kUnavailable (no node answers, or the cluster has no majority),
  // kTimeout (a transaction of which nobody knows whether it was carried out).
  Result<json::Object> call(const std::string& path, const json::Object& request);
  const EtcdOptions& options() const { return options_; }
  const Traffic& traffic() const { return traffic_; }

 private:
  struct Connection;
  EtcdGateway(EtcdOptions options, std::unique_ptr<Connection> connection);

  EtcdOptions options_;
  std::unique_ptr<Connection> connection_;
  Traffic traffic_;
};

}  // namespace icon::budget::ledger
