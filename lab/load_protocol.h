// What a load client says and expects, per service protocol: redis, HTTP, memcached. Each exchange
// has an answer that is known beforehand, so that a lost, repeated or stale reply shows. Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace icon::lab {

inline constexpr std::size_t kReplyBytesMax = 4 << 20;

struct Exchange {
  std::string request;
  // nullopt: whatever the first such reply says is what all must say.
  std::optional<std::string> reply;
};

struct ParsedReply {
  std::size_t bytes = 0;  // of the input that it took
  std::string content;    // what is compared: the reply without what may vary (dates)
  bool closes = false;    // the service announced that it ends the connection
};

// One connection's conversation.
class LoadProtocol {
 public:
  virtual ~LoadProtocol() = default;
  // The n-th exchange of this connection, from 0.
  virtual Exchange exchange(std::uint64_t n) const = 0;
  // The first whole reply in `buffer`; nullopt when more bytes are needed.
  // Errors: kInvalid (not this protocol), kLimit (larger than kReplyBytesMax).
  virtual Result<std::optional<ParsedReply>> parse(std::string_view buffer) const = 0;
};

struct ProtocolOptions {
  std::string name = "redis";  // "redis", "memcached", "http"
  std::string tag{};           // makes the keys of this run its own
  std::uint64_t connection = 0;
  std::string http_path = "/";
  std::string http_host = "icon.test";
  std::string http_expect{};  // the whole body; empty: as the first reply
};

// Errors: kInvalid for another name.
Result<std::unique_ptr<LoadProtocol>> make_protocol(const ProtocolOptions& options);

}  // namespace icon::lab
