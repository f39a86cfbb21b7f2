// STAGE and TRANSFER at the destination: what arrives, where it is put, and whether it is what was
// signed.
#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <filesystem>

#include "base/file.h"
#include "base/log.h"
#include "migration/move_stream.h"
#include "migration/worker.h"
#include "supervisor/move_destination_move.h"
#include "supervisor/move_parts.h"
#include "supervisor/removal.h"
#include "supervisor/staging.h"
#include "supervisor/upload_pace.h"

namespace icon::supervisor {
namespace {

// After that the source is told how far it is, and asks again.
constexpr Millis kMarkPatience{10'000};

// What the images may hold beside the ICON's memory: tables, names, files without a name (up to
// migration::kNamelessBytesMax each).
constexpr std::uint64_t kImagesBesideMemory = 256 << 20;
// Pages that forked processes share count once for the ICON's limit, and are in the images of each
// where they do not travel apart.
constexpr std::uint64_t kImagesOfOnePage = 4;
// So that it is the archive that ends, and says why.
constexpr std::uint64_t kTmpfsSpare = 64 << 20;
// In the gap: what the source's ICON has removed.
constexpr Millis kRemoveLimit{30'000};

using Directories = std::map<std::string, std::string>;

}  // namespace

std::uint64_t DestinationMoves::staging_left(const Move& move) {
  return kImageBytesMax - std::min(move.staged_bytes, kImageBytesMax);
}

// A tmpfs is in nobody's cgroup: a small slot must not fill the host's memory through one. What may
// be used here is never 0: such a lease is refused.
std::uint64_t DestinationMoves::images_bytes_max(const Move& move) {
  const auto memory = static_cast<std::uint64_t>(move.allowed.memory_bytes);
  const auto most = kCheckpointBytesMax / kImagesOfOnePage;
  return std::min(kCheckpointBytesMax,
                  std::min(memory, most) * kImagesOfOnePage + kImagesBesideMemory);
}

// Nothing is written into an ICON's files once its checkpoint is here.
Status DestinationMoves::still_staging(const Move& move) {
  if (!move.given_up.empty()) return fail(Code::kCancelled, move.given_up);
  if (move.transaction.state() != migration::DestinationState::kReserved)
    return fail(Code::kConflict, "the checkpoint has arrived already");
  return {};
}

Task<Status> DestinationMoves::receive_image(Move& move, std::string digest,
                                             http::BodyReader& body) {
  ICON_CO_CHECK(still_staging(move));
  if (digest != move.digest) co_return fail(Code::kInvalid, "that image was not announced");
  move.record.begin("image");
  ArrivingImage image{move.icon.lower_dir, std::move(digest), move.record.id(), staging_left(move),
                      host_.config.state_dir};
  ICON_CO_TRY(const auto bytes, co_await store_image(std::move(image), body));
  move.staged_bytes += bytes;
  move.record.end(bytes);
  co_return Status{};
}

Task<Status> DestinationMoves::receive_layer(Move& move, http::BodyReader& body) {
  ICON_CO_CHECK(still_staging(move));
  move.record.begin("layer");
  const auto paths = host_.containers->paths(move.icon.id);
  ICON_CO_CHECK(make_directories(paths.run + "/bin"));
  Directories directories{{"upper", paths.upper}, {"bin", paths.run + "/bin"}};
  ICON_CO_TRY(const auto report,
              co_await extract_body(body, std::move(directories), staging_left(move)));
  move.staged_bytes += report.bytes;
  move.record.end(report.bytes);
  co_return Status{};
}

// What a stream's frames become: pages go to icon-pages, the archive to the ICON's directories.
class DestinationMoves::Stream {
 public:
  Stream(DestinationMoves& owner, Move& move) : owner_(owner), move_(move) {}

  Task<Status> take(const migration::FrameReader::Piece& piece) {
    using Kind = migration::FrameHeader::Kind;
    switch (piece.frame.kind) {
      case Kind::kPages:
      case Kind::kEnd:
        co_return co_await take_pages(piece);
      case Kind::kMark:
        ICON_CO_CHECK(co_await start_pages());
        move_.mark = piece.frame.count;
        move_.last_heard = owner_.host_.clock.steady();
        move_.progress.cancel();
        co_return Status{};
      case Kind::kArchive:
        co_return co_await take_archive(piece);
      case Kind::kManifest:
        manifest_.append(piece.bytes.data(), piece.bytes.size());
        co_return Status{};
    }
    co_return fail(Code::kInternal, "no such frame");
  }

  // The manifest, when all has come.
  Task<Result<std::string>> finish() {
    if (!sink_) co_return fail(Code::kInvalid, "the stream brought no checkpoint");
    ICON_CO_TRY(move_.received, co_await sink_->finish());
    move_.record.end(move_.received.bytes);
    co_return std::move(manifest_);
  }

 private:
  Task<Status> start_pages() {
    if (move_.pages) co_return Status{};
    // A limit of its own held at the source, too. Of its lease some is left for what comes in the
    // images: stacks, shared memory, tables.
    const auto allowed = static_cast<std::uint64_t>(move_.allowed.memory_bytes);
    const bool names_limit = move_.icon.spec.resources.memory_bytes != 0;
    const std::uint64_t pages_max = names_limit ? allowed : allowed / 8 * 7;
    ICON_CO_TRY(const auto cgroup, owner_.host_.containers->cgroup(move_.icon.id));
    ICON_CO_TRY(move_.pages,
                migration::PageDaemon::start(co_await boost::asio::this_coro::executor,
                                             program_path("icon-pages"), move_.memory.path(),
                                             pages_max, cgroup.freezer_directory()));
    co_return co_await owner_.prepare_restore(move_);
  }

  Task<Status> take_pages(const migration::FrameReader::Piece& piece) {
    ICON_CO_CHECK(co_await start_pages());
    const auto pages = move_.pages;  // the move may be given up meanwhile
    Status written;
    if (piece.begins) {
      const auto raw = piece.frame.encode();
      const std::string header(raw.begin(), raw.end());
      written = co_await pages->write(header);
    }
    if (written && !piece.bytes.empty()) written = co_await pages->write(piece.bytes);
    if (written && piece.frame.kind != migration::FrameHeader::Kind::kEnd) co_return Status{};
    // Or why it takes no more.
    ICON_CO_TRY(move_.received_memory, co_await pages->received());
    co_return Status{};
  }

  Task<Status> take_archive(const migration::FrameReader::Piece& piece) {
    if (!sink_) {
      move_.record.begin("transfer");
      const auto paths = owner_.host_.containers->paths(move_.icon.id);
      const Directories directories{{"checkpoint", move_.memory.path() + "/images"},
                                    {"upper", paths.upper},
                                    {"run", paths.run}};
      migration::ExtractLimits limits;
      limits.bytes_max = kCheckpointBytesMax;
      limits.parts["checkpoint"] = {
          images_bytes_max(move_),
          "a slot of " + std::to_string(move_.allowed.memory_bytes) + " bytes of memory"};
      ICON_CO_TRY(sink_, migration::TarSink::start(co_await boost::asio::this_coro::executor,
                                                   directories, limits));
    }
    if (co_await sink_->write(piece.bytes)) co_return Status{};
    const auto why = co_await sink_->finish();
    co_return why ? fail(Code::kInvalid, "the archive ends before its frames") : fail(why.error());
  }

  DestinationMoves& owner_;
  Move& move_;
  std::unique_ptr<migration::TarSink> sink_;
  std::string manifest_;
};

// The request that lasts: from the first look at the memory until the copy is held.
Task<http::Response> DestinationMoves::answer_stream(MovePtr move, http::BodyReader& body) {
  if (move->is_streaming || !move->memory.path().empty())
    co_return http::error_response({Code::kConflict, "this migration has its stream"});
  move->is_streaming = true;
  const auto response = co_await answer(move, receive_stream(*move, body));
  move->is_streaming = false;
  co_return response;
}

Task<Status> DestinationMoves::receive_stream(Move& move, http::BodyReader& body) {
  ICON_CO_CHECK(still_staging(move));
  ICON_CO_TRY(move.memory, MemoryDirectory::create(checkpoint_path(host_, move.record.id()),
                                                   images_bytes_max(move) + kTmpfsSpare));
  ICON_CO_CHECK(make_directories(move.memory.path() + "/images", 0700));
  ICON_CO_CHECK(co_await checkpointer_.prepare(move.memory.path()));
  migration::FrameReader frames;
  Stream stream(*this, move);
  UploadPace pace(host_.clock.steady());
  for (;;) {
    ICON_CO_TRY(const auto bytes, co_await body.read_some());
    if (bytes.empty()) break;
    ICON_CO_CHECK(pace.take(host_.clock.steady(), bytes.size()));
    std::span<const char> rest(bytes);
    for (;;) {
      ICON_CO_TRY(const auto piece, frames.next(rest));
      if (!piece) break;
      ICON_CO_CHECK(still_staging(move));  // it may have been given up meanwhile
      ICON_CO_CHECK(co_await stream.take(*piece));
    }
  }
  if (!frames.is_complete()) co_return fail(Code::kInvalid, "the stream broke off");
  ICON_CO_TRY(const auto manifest, co_await stream.finish());
  ICON_CO_TRY(auto removed, verify_checkpoint(move, manifest));
  ICON_CO_CHECK(co_await remove_from_layer(move, std::move(removed)));
  ICON_CO_CHECK(still_staging(move));  // it may have been given up meanwhile
  ICON_CO_CHECK(host_.market->usable_lease(move.lease.lease_id, move.icon.id));
  ICON_CO_CHECK(host_.journal->check_epoch(move.icon.id, move.order.epoch));
  co_return co_await restore(move);
}

// In the gap: whole directories are only moved aside here.
Task<Status> DestinationMoves::remove_from_layer(Move& move, std::vector<std::string> paths) {
  if (paths.empty()) co_return Status{};
  ICON_CO_CHECK(make_directories(host_.config.state_dir + "/" + kRemovedDirectory, 0700));
  const std::string aside = place_aside(host_.config.state_dir, move.record.id());
  auto remove = [upper = host_.containers->paths(move.icon.id).upper, paths = std::move(paths),
                 aside] { return migration::remove_paths(upper, paths, aside); };
  const auto removed = co_await migration::run_within(
      gap_pool(), kRemoveLimit, "remove what is gone at the source", std::move(remove));
  remove_aside(aside);
  co_return removed;
}

Task<http::Response> DestinationMoves::answer_mark(MovePtr move, std::uint32_t mark) {
  const auto end = std::chrono::steady_clock::now() + kMarkPatience;
  boost::asio::steady_timer limit(co_await boost::asio::this_coro::executor, end);
  limit.async_wait([move](boost::system::error_code error) {
    if (!error) move->progress.cancel();
  });
  // The question may overtake the stream, on a connection of its own.
  while (move->mark < mark && still_staging(*move) && std::chrono::steady_clock::now() < end) {
    boost::system::error_code ignored;
    co_await move->progress.async_wait(
        boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }
  if (move->mark < mark && !still_staging(*move))
    co_return http::error_response({Code::kConflict, "this migration receives no more memory"});
  co_return http::json_response(200, json::Object{{"mark", move->mark}});
}

Result<std::vector<std::string>> DestinationMoves::verify_checkpoint(Move& move,
                                                                     std::string_view text) {
  ICON_TRY(auto envelope_json, json::parse_object(text, migration::kManifestBytesMax));
  ICON_TRY(const auto envelope, wire::parse_envelope(json::Value(std::move(envelope_json))));
  ICON_TRY(const auto manifest, wire::open<wire::Manifest>(envelope));
  ICON_CHECK(wire::check_times(manifest.issued_ms, manifest.expires_ms, host_.clock.utc_ms()));
  if (manifest.icon != move.order.icon || manifest.migration_id != move.order.migration_id ||
      manifest.epoch != move.order.epoch || manifest.from != move.order.from ||
      manifest.to != move.order.to)
    return fail(Code::kUnauthenticated, "the manifest belongs to another migration");
  if (move.pages) move.received.files["memory"] = move.received_memory;
  if (manifest.files.size() != move.received.files.size())
    return fail(Code::kUnauthenticated, "the manifest names other files than those that arrived");
  for (const auto& [name, stamp] : move.received.files) {
    const auto* expected = manifest.files.if_contains(name);
    if (expected == nullptr || expected->as_string() != stamp)
      return fail(Code::kUnauthenticated, "file " + name + " is not the one that was signed");
  }
  std::vector<std::string> removed;
  for (const auto& path : manifest.removed) removed.emplace_back(path.as_string());
  return removed;
}

}  // namespace icon::supervisor
