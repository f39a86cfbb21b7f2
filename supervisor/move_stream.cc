#include "supervisor/move_stream.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/serialize.hpp>

#include "migration/move_stream.h"
#include "migration/worker.h"
#include "supervisor/host.h"

namespace icon::supervisor {
namespace {

namespace asio = boost::asio;
using migration::FrameHeader;

constexpr Millis kAnswerLimit{30'000};  // for an answer that only says how the request ended
constexpr std::size_t kMarkBytesMax = 4096;
constexpr Millis kMarkPause{50};       // between two answers
constexpr Millis kSilenceMax{60'000};  // no byte and no mark

std::string frame_of(FrameHeader::Kind kind, std::size_t bytes) {
  FrameHeader header;
  header.kind = kind;
  header.count = static_cast<std::uint32_t>(bytes);
  const auto raw = header.encode();
  return {raw.begin(), raw.end()};
}

}  // namespace

class MoveStream::Body final : public UploadSource {
 public:
  Body(Host& host, std::unique_ptr<migration::PageSource> pages)
      : host_(host), pages_(std::move(pages)), news_(host.loop, SteadyTime::max()) {}

  Task<Result<std::span<const char>>> next() override {
    if (stage_ == Stage::kMemory) {
      if (pages_) {
        ICON_CO_TRY(const auto bytes, co_await pages_->next());
        if (!bytes.empty()) co_return bytes;
      }
      stage_ = Stage::kWaiting;
      news_.cancel();
    }
    if (stage_ == Stage::kWaiting) {
      while (!archive_ && !has_ended_) co_await until_news();
      if (!archive_) co_return fail(Code::kIo, "the destination takes the stream no longer");
      stage_ = Stage::kArchive;
    }
    if (stage_ == Stage::kArchive) {
      if (!piece_.empty()) co_return std::exchange(piece_, {});
      ICON_CO_TRY(piece_, co_await archive_->next());
      if (!piece_.empty()) {
        frame_ = frame_of(FrameHeader::Kind::kArchive, piece_.size());
        co_return std::span<const char>(frame_);
      }
      ICON_CO_TRY(const std::string manifest, sealed_manifest());
      frame_ = frame_of(FrameHeader::Kind::kManifest, manifest.size()) + manifest;
      stage_ = Stage::kEnd;
      co_return std::span<const char>(frame_);
    }
    is_sent_ = true;
    news_.cancel();
    co_return std::span<const char>();
  }

  void request_ended() override {
    has_ended_ = true;
    if (pages_) pages_->stop_reading();
    news_.cancel();
  }

  Status give(Rest rest) {
    rest_ = std::move(rest);
    std::vector<migration::TreePart> parts{{"checkpoint", rest_.checkpoint},
                                           {"upper", rest_.upper, &rest_.upper_changed},
                                           {"run", rest_.run, &rest_.run_files}};
    ICON_TRY(archive_, migration::TarSource::start(host_.loop.get_executor(), std::move(parts)));
    news_.cancel();
    return {};
  }

  migration::PageSource* pages() const { return pages_.get(); }
  bool is_memory_read() const { return stage_ != Stage::kMemory; }
  bool is_sent() const { return is_sent_; }
  Task<void> until_news() {
    boost::system::error_code ignored;
    co_await news_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  void wake() { news_.cancel(); }

 private:
  enum class Stage { kMemory, kWaiting, kArchive, kEnd };

  Result<std::string> sealed_manifest() {
    for (const auto& [name, stamp] : archive_->report().files) rest_.manifest.files[name] = stamp;
    if (pages_)
      rest_.manifest.files["memory"] =
          std::to_string(pages_->report().bytes) + ":" + pages_->report().digest;
    ICON_TRY(const auto sealed, wire::seal(host_.key, rest_.manifest));
    std::string text = boost::json::serialize(sealed.to_json());
    if (text.size() > migration::kManifestBytesMax)
      return fail(Code::kLimit, "the manifest names too many files");
    return text;
  }

  Host& host_;
  std::unique_ptr<migration::PageSource> pages_;
  Rest rest_;  // archive_ looks at it
  std::unique_ptr<migration::TarSource> archive_;
  asio::steady_timer news_;
  Stage stage_ = Stage::kMemory;
  std::span<const char> piece_;
  std::string frame_;
  bool is_sent_ = false;
  bool has_ended_ = false;
};

// Kept by the coroutine that sends, too: it may outlast the move by a turn of the loop.
struct MoveStream::State {
  State(Host& host, std::unique_ptr<migration::PageSource> pages)
      : host(host), body(host, std::move(pages)) {}
  Host& host;
  Body body;
  PeerRequest marks;  // what asks for them
  std::uint64_t sent = 0;
  std::optional<Status> outcome;
  asio::cancellation_signal cancel;
};

Result<std::unique_ptr<MoveStream>> MoveStream::start(
    Host& host, PeerRequest request, std::optional<migration::PageSource::Processes> processes) {
  std::unique_ptr<migration::PageSource> pages;
  if (processes) {
    ICON_TRY(pages, migration::PageSource::start(host.loop.get_executor(), std::move(*processes)));
  }
  auto state = std::make_shared<State>(host, std::move(pages));
  state->marks.api = request.api;
  state->marks.peer = request.peer;
  state->marks.target = request.target + "?mark=";
  request.upload = &state->body;
  request.on_progress = [state = state.get(), told = std::move(request.on_progress)](auto bytes) {
    state->sent = bytes;
    if (told) told(bytes);
  };
  auto send = [&host, state, request = std::move(request)]() mutable -> Task<void> {
    const auto answer = co_await host.peers->call(std::move(request));
    if (!answer) {
      state->outcome = fail(answer.error());
    } else {
      const auto text = http::body_or_error(answer->response);
      state->outcome = text ? Status() : Status(fail(text.error()));
    }
    state->body.request_ended();  // also where nothing was sent for too long
  };
  asio::co_spawn(host.loop, std::move(send),
                 asio::bind_cancellation_slot(state->cancel.slot(), [state](std::exception_ptr) {
                   if (!state->outcome)
                     state->outcome = fail(Code::kCancelled, "the memory was no longer wanted");
                   state->body.wake();
                 }));
  return std::unique_ptr<MoveStream>(new MoveStream(std::move(state)));
}

MoveStream::~MoveStream() {
  if (!state_->outcome) state_->cancel.emit(asio::cancellation_type::terminal);
}

bool MoveStream::carries_memory() const { return state_->body.pages() != nullptr; }

std::vector<migration::MemoryTracker> MoveStream::take_tracking() {
  return carries_memory() ? state_->body.pages()->take_tracking()
                          : std::vector<migration::MemoryTracker>();
}

const migration::PageSource::Report* MoveStream::memory_report() const {
  return carries_memory() ? &state_->body.pages()->report() : nullptr;
}

Task<Status> MoveStream::explained(Status status) {
  if (status) co_return status;
  const auto end = std::chrono::steady_clock::now() + kAnswerLimit;
  asio::steady_timer limit(state_->host.loop, end);
  limit.async_wait([state = state_](boost::system::error_code error) {
    if (!error) state->body.wake();
  });
  while (!state_->outcome && std::chrono::steady_clock::now() < end)
    co_await state_->body.until_news();
  if (state_->outcome && !*state_->outcome) co_return *state_->outcome;
  co_return status;
}

Task<Status> MoveStream::until_mark_arrived(std::uint32_t mark) {
  // The destination answers at least every few seconds: a round may take long, a silence may not.
  auto moved = std::chrono::steady_clock::now();
  std::uint64_t sent = state_->sent;
  while (!state_->outcome) {
    PeerRequest request = state_->marks;
    request.target += std::to_string(mark);
    ICON_CO_TRY(const auto answer, co_await state_->host.peers->call(std::move(request)));
    ICON_CO_TRY(const auto text, http::body_or_error(answer.response));
    ICON_CO_TRY(const auto body, json::parse_object(text, kMarkBytesMax));
    ICON_CO_TRY(const auto arrived, json::get_int(body, "mark", 0, migration::kMarksMax));
    if (arrived >= mark) co_return Status{};
    const auto now = std::chrono::steady_clock::now();
    if (std::exchange(sent, state_->sent) != state_->sent) moved = now;
    if (now - moved > kSilenceMax)
      co_return fail(Code::kTimeout, "the destination takes memory no longer");
    asio::steady_timer pause(state_->host.loop, kMarkPause);
    co_await pause.async_wait(asio::use_awaitable);
  }
  co_return *state_->outcome;
}

Task<Status> MoveStream::until_converged() {
  if (!carries_memory()) co_return Status{};
  for (;;) {
    const auto mark = co_await state_->body.pages()->next_mark();
    if (!mark) co_return co_await explained(fail(mark.error()));
    if (*mark == 0) co_return Status{};
    auto arrived = co_await until_mark_arrived(*mark);
    if (!arrived) co_return co_await explained(std::move(arrived));
    state_->body.pages()->acknowledge(*mark);
  }
}

Task<Status> MoveStream::finish_memory() {
  if (!carries_memory()) co_return Status{};
  auto scanned = co_await state_->body.pages()->finish();
  co_return co_await explained(std::move(scanned));
}

Task<Status> MoveStream::until_memory_read() {
  while (!state_->body.is_memory_read() && !state_->outcome) co_await state_->body.until_news();
  co_return state_->outcome ? *state_->outcome : Status();
}

Status MoveStream::give(Rest rest) { return state_->body.give(std::move(rest)); }

Task<Status> MoveStream::until_sent() {
  while (!state_->body.is_sent() && !state_->outcome) co_await state_->body.until_news();
  co_return state_->outcome ? *state_->outcome : Status();
}

Task<Status> MoveStream::until_restored() {
  while (!state_->outcome) co_await state_->body.until_news();
  co_return *state_->outcome;
}

}  // namespace icon::supervisor
