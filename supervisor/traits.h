// What hosts tell each other of themselves before a move, and what follows from it.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>

#include "base/address.h"
#include "base/http_server.h"
#include "base/json.h"
#include "base/keys.h"
#include "base/result.h"
#include "base/task.h"
#include "migration/checkpointer.h"
#include "migration/movable/host_traits.h"
#include "supervisor/config.h"

namespace icon::supervisor {

struct Host;

// Finds out about this host. Owned by the Mover. Loop thread only.
class TraitsReader {
 public:
  TraitsReader(IoContext& loop, const Config& config, migration::Checkpointer& checkpointer)
      : config_(config), checkpointer_(checkpointer), gate_(std::make_shared<Gate>(loop)) {}
  // CRIU is asked once, whoever wants to know, and again only when it did not answer.
  Task<migration::HostTraits> get();

 private:
  // Shared with whoever reads or waits: they may outlive this.
  struct Gate {
    explicit Gate(IoContext& loop) : changed(loop) {}
    bool is_reading = false;
    boost::asio::steady_timer changed;
  };
  class Reading;
  Task<migration::HostTraits> read() const;
  Task<Result<migration::CpuFeatures>> read_cpu() const;

  const Config& config_;
  migration::Checkpointer& checkpointer_;
  std::optional<migration::HostTraits> known_;
  const std::shared_ptr<Gate> gate_;
};

// The peer's answer to GET /v1/traits; nothing when it is of a version that does not know of it.
// Errors: kInvalid; those of the call.
Task<Result<std::optional<migration::HostTraits>>> ask_traits(Host& host, Endpoint api,
                                                              std::optional<PublicKey> peer);
// What a source says of itself at RESERVE: {"traits","needs"}. `pid`: of the ICON; 0: it starts
// afresh there.
Task<json::Object> traits_for_reserve(Host& host, int pid);
// The destination's answer to that: who says nothing is not judged. Errors: kRefused with what
// stands in the way, and the fix; kInvalid.
Task<Status> refuse_unfit(Host& host, const json::Object& reservation);

}  // namespace icon::supervisor
