// The demo's data: fills a redis with values that do not compress, and reads all of them back after
// the move. Blocking, over one real connection from a node of the lab.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/address.h"
#include "base/result.h"

namespace icon::lab {

inline constexpr std::int64_t kDataValueBytes = 4096;

struct DataStore {
  std::string netns;  // where the connection comes from
  Address source;     // its address there
  Endpoint redis;
  std::int64_t values = 0;  // keys data:0 .. data:n-1
};

// Waits until redis takes connections: a service needs a moment after its start. `pass` lets some
// milliseconds go by; its error ends the wait. Errors: the last one of connect.
Status wait_for_redis(const DataStore& store, const std::function<Status(std::int64_t)>& pass);
// `poll` is called now and then; its error ends the work. Errors: kIo, kTimeout, kInvalid (redis
// refused a command).
Status write_data(const DataStore& store, const std::function<Status()>& poll);
// How many of the values are missing or differ from what was written.
Result<std::int64_t> count_damaged(const DataStore& store, const std::function<Status()>& poll);

// The value of a key: pseudo-random bytes that depend on its number only.
std::string data_value(std::int64_t number);

}  // namespace icon::lab
