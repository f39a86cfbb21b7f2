// Serves the redirections: accepts connections on inherited sockets, finds out which port each
// client dialled, answers. All input here comes from strangers; every size, count and wait has a
// limit, and the answers themselves are made by the pure answer().
#pragma once

#include <memory>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/task.h"
#include "stub/client_limits.h"
#include "stub/route.h"
#include "stub/statistics.h"

namespace icon::stub {

struct RedirectorSettings {
  ClientLimitSettings clients{};
  int requests_per_connection_max = 100;
  Millis request_max{5'000};  // to receive one whole head, the wait for its first byte included
  Millis answer_max{5'000};   // to send an answer
  Millis linger_max{1'000};   // to let a client finish what we will not read
  std::size_t linger_bytes_max = 64 << 10;
};

// Owner: stub_main. Loop thread only. `loop` and `clock` outlive it; the loop does not run any more
// when it is destroyed.
class Redirector {
 public:
  Redirector(IoContext& loop, const Clock& clock, RedirectorSettings settings);
  ~Redirector();
  Redirector(const Redirector&) = delete;
  Redirector& operator=(const Redirector&) = delete;

  // A bound and listening TCP socket. Accepts from the loop's next turn on. Errors: kInvalid, kIo.
  Status add_listener(UniqueFd listener);
  std::uint16_t port() const;  // of the first listener; 0 without one

  void set_routes(RouteTable routes);
  const RouteTable& routes() const;
  StubStatistics statistics() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace icon::stub
