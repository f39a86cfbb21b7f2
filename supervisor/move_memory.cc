#include "supervisor/move_memory.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "supervisor/host.h"

namespace icon::supervisor {
namespace {

namespace asio = boost::asio;

constexpr Millis kAnswerLimit{30'000};  // for an answer that only says how the request ended
}  // namespace

// Kept by the coroutine that sends, too: it may outlast the move by a turn of the loop.
struct MoveMemory::Request {
  explicit Request(IoContext& loop) : ended(loop, SteadyTime::max()) {}
  std::unique_ptr<migration::PageSource> source;
  std::optional<UploadOf<migration::PageSource>> upload;
  std::optional<Status> outcome;
  asio::steady_timer ended;
  asio::cancellation_signal cancel;
};

Result<std::unique_ptr<MoveMemory>> MoveMemory::start(Host& host, PeerRequest request,
                                                      migration::PageSource::Processes processes) {
  auto state = std::make_shared<Request>(host.loop);
  ICON_TRY(state->source,
           migration::PageSource::start(host.loop.get_executor(), std::move(processes)));
  state->upload.emplace(*state->source);
  request.upload = &*state->upload;
  auto send = [&host, state, request = std::move(request)]() mutable -> Task<void> {
    const auto answer = co_await host.peers->call(std::move(request));
    if (!answer) {
      state->outcome = fail(answer.error());
    } else {
      const auto text = http::body_or_error(answer->response);
      state->outcome = text ? Status() : Status(fail(text.error()));
    }
  };
  asio::co_spawn(host.loop, std::move(send),
                 asio::bind_cancellation_slot(state->cancel.slot(), [state](std::exception_ptr) {
                   if (!state->outcome)
                     state->outcome = fail(Code::kCancelled, "the memory was no longer wanted");
                   state->ended.cancel();
                 }));
  return std::unique_ptr<MoveMemory>(new MoveMemory(std::move(state)));
}

MoveMemory::~MoveMemory() {
  if (!request_->outcome) request_->cancel.emit(asio::cancellation_type::terminal);
}

Task<Status> MoveMemory::until_sent() {
  if (!request_->outcome) {
    boost::system::error_code ignored;
    co_await request_->ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  co_return *request_->outcome;
}

Task<Status> MoveMemory::explained(Status status) {
  if (status) co_return status;
  if (!request_->outcome) {
    request_->ended.expires_after(kAnswerLimit);
    boost::system::error_code ignored;
    co_await request_->ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  if (request_->outcome && !*request_->outcome) co_return *request_->outcome;
  co_return status;
}

Task<Status> MoveMemory::until_converged() {
  auto converged = co_await request_->source->until_converged();
  co_return co_await explained(std::move(converged));
}

Task<Status> MoveMemory::finish() {
  auto scanned = co_await request_->source->finish();
  co_return co_await explained(std::move(scanned));
}

const migration::PageSource::Report& MoveMemory::report() const {
  return request_->source->report();
}

}  // namespace icon::supervisor
