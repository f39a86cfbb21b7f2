// One node of an OpenDHT network. Its headers cost seconds and drag in msgpack: only dht_node.cc
// includes them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/task.h"

namespace icon::supervisor {

struct DhtLimits {
  std::size_t keys_max = 64;           // of a look-up, and of what is published
  std::size_t values_per_key_max = 8;  // the first ones that come
  std::size_t value_bytes_max = 4096;
  std::size_t bytes_max = 400 << 10;  // of an answer
  std::size_t lookups_max = 16;       // under way
  Millis lookup_limit{5'000};
  int requests_per_second_max = 512;  // that the node answers
  int store_bytes_max = 16 << 20;     // for others
  int store_keys_max = 16'384;
};

struct DhtOptions {
  Endpoint listen;                     // UDP
  std::vector<std::string> bootstrap;  // "host:port"
  DhtLimits limits;
};

struct DhtFound {
  struct Value {
    std::string key;
    std::string value;
  };
  std::vector<Value> values;
  std::size_t left_out = 0;  // too large, or too many
};

// Thread: the loop's; the table has threads of its own behind it. Ends with its destructor.
class DhtNode {
 public:
  virtual ~DhtNode() = default;
  // Replaces what was published before, and keeps it there. Errors: kLimit.
  virtual Status publish(std::vector<std::string> keys, std::string value) = 0;
  // What came until the limit. Errors: kLimit (too many keys or look-ups).
  virtual Task<Result<DhtFound>> look_up(std::vector<std::string> keys) = 0;
  virtual std::size_t good_nodes() const = 0;
};

// Errors: kIo (the address cannot be bound).
Result<std::unique_ptr<DhtNode>> start_dht_node(IoContext& loop, DhtOptions options);

}  // namespace icon::supervisor
