// What a holder sends for its standbys: image and writable layer.
#include <filesystem>
#include <functional>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "supervisor/continuity/given_standby.h"
#include "supervisor/host.h"
#include "supervisor/move_parts.h"
#include "supervisor/removal.h"
#include "supervisor/staging.h"

namespace icon::supervisor {
namespace {

// All of a holder's standbys share the bytes of its contract, also those that come at once.
class CountedBody final : public http::BodyReader {
 public:
  CountedBody(http::BodyReader& body, std::function<Status(std::size_t)> count)
      : body_(body), count_(std::move(count)) {}
  Task<Result<std::span<const char>>> read_some() override {
    ICON_CO_TRY(const auto bytes, co_await body_.read_some());
    ICON_CO_CHECK(count_(bytes.size()));
    co_return bytes;
  }

 private:
  http::BodyReader& body_;
  std::function<Status(std::size_t)> count_;
};

}  // namespace

std::int64_t GivenStandbys::staged_bytes_of(const PublicKey& holder) const {
  std::int64_t sum = 0;
  for (const auto& [icon, standby] : standbys_)
    if (standby->holder == holder) sum += standby->staged_bytes;
  return sum;
}

Task<Status> GivenStandbys::receive(StandbyPtr standby, std::string part, http::BodyReader& body) {
  if (standby->busy || standby->has_layer)
    co_return fail(Code::kConflict, "this standby takes nothing now");
  const auto left = standby->terms.staged_bytes_max - staged_bytes_of(standby->holder);
  if (left <= 0) co_return fail(Code::kLimit, "the contract's bytes are used up");
  standby->busy = true;
  Result<std::uint64_t> bytes = fail(Code::kNotFound, "no such part of a standby");
  CountedBody counted(body, [this, standby](std::size_t more) -> Status {
    standby->staged_bytes += static_cast<std::int64_t>(more);
    if (staged_bytes_of(standby->holder) <= standby->terms.staged_bytes_max) return {};
    return fail(Code::kLimit, "more bytes than the contract has");
  });
  if (part == "image") {
    ArrivingImage image{standby->icon.lower_dir, standby->icon.image_digest,
                        standby->order.standby_id, static_cast<std::uint64_t>(left),
                        host_.config.state_dir};
    bytes = co_await store_image(std::move(image), counted);
  } else if (part == "layer") {
    bytes = co_await receive_layer(standby, counted, static_cast<std::uint64_t>(left));
    standby->has_layer = bytes.has_value();
  }
  standby->busy = false;
  if (!bytes) {
    (void)co_await close(standby, "lost");
    co_return fail(bytes.error());
  }
  co_return Status{};
}

// Aside until all of it is here: the standby may end meanwhile, and a move make the same
// directories.
Task<Result<std::uint64_t>> GivenStandbys::receive_layer(StandbyPtr standby, http::BodyReader& body,
                                                         std::uint64_t bytes_max) {
  const auto paths = host_.containers->paths(standby->icon.id);
  const std::string aside = paths.directory + "/standby-" + standby->order.standby_id;
  std::error_code error;
  std::uint64_t bytes = 0;
  const auto place = [&]() -> Status {
    const auto current = standbys_.find(standby->icon.id);
    if (current == standbys_.end() || current->second != standby)
      return fail(Code::kCancelled, "this standby has ended meanwhile");
    for (const auto& [from, to] : {std::pair(aside + "/upper", paths.upper),
                                   std::pair(aside + "/bin", paths.run + "/bin")}) {
      std::filesystem::rename(from, to, error);  // over what is empty
      if (error) return fail(Code::kIo, "put " + to + " in its place: " + error.message());
    }
    return {};
  };
  Status done = make_directories(aside + "/upper");
  if (done) done = make_directories(aside + "/bin");
  if (done) {
    std::map<std::string, std::string> directories{{"upper", aside + "/upper"},
                                                   {"bin", aside + "/bin"}};
    const auto report = co_await extract_body(body, std::move(directories), bytes_max);
    bytes = report ? report->bytes : 0;
    done = report ? place() : Status(fail(report.error()));
  }
  if (const auto removed = remove_later(host_.config.state_dir, aside); !removed)
    log::warn("standby.left_over", {{"path", aside}, {"error", removed.error().message}});
  std::filesystem::remove(paths.directory, error);  // where its end found it in use
  if (!done) co_return fail(done.error());
  co_return bytes;
}

}  // namespace icon::supervisor
