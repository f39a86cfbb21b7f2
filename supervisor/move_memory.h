// The source's memory on its way: rounds of a PageSource as the body of one long request, beside
// whatever else the move asks the destination for. Loop thread only.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>

#include "base/result.h"
#include "base/task.h"
#include "migration/memory/page_source.h"
#include "supervisor/peer_client.h"

namespace icon::supervisor {

struct Host;

class MoveMemory {
 public:
  // Begins to send the memory of `processes` with `request` (its upload is set here).
  static Result<std::unique_ptr<MoveMemory>> start(Host& host, PeerRequest request,
                                                   migration::PageSource::Processes processes);
  // Drops the request when it is still under way.
  ~MoveMemory();

  // Another round would not help. Errors: what ended the request or the stream.
  Task<Status> until_converged();
  // The tree is frozen; returns when a checkpointer may look at it.
  Task<Status> finish();
  // All of it is there, and the destination has said so.
  Task<Status> until_sent();
  // After until_sent().
  const migration::PageSource::Report& report() const;

 private:
  struct Request;
  explicit MoveMemory(std::shared_ptr<Request> request) : request_(std::move(request)) {}
  // The request's own error, which says more than that its stream broke off.
  Task<Status> explained(Status status);
  std::shared_ptr<Request> request_;
};

}  // namespace icon::supervisor
