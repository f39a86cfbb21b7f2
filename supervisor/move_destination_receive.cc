// STAGE and TRANSFER at the destination: what arrives, where it is put, and whether it is what was
// signed.
#include <boost/asio/this_coro.hpp>
#include <filesystem>

#include "base/file.h"
#include "base/log.h"
#include "migration/worker.h"
#include "supervisor/move_destination_move.h"
#include "supervisor/move_parts.h"

namespace icon::supervisor {
namespace {

using Directories = std::map<std::string, std::string>;

Task<Result<migration::ArchiveReport>> extract(http::BodyReader& body, Directories directories,
                                               std::uint64_t bytes_max) {
  migration::ExtractLimits limits;
  limits.bytes_max = bytes_max;
  ICON_CO_TRY(auto sink, migration::TarSink::start(co_await boost::asio::this_coro::executor,
                                                   std::move(directories), limits));
  for (;;) {
    ICON_CO_TRY(const auto bytes, co_await body.read_some());
    if (bytes.empty()) break;
    if (!co_await sink->write(bytes)) break;  // finish() says why
  }
  co_return co_await sink->finish();
}

}  // namespace

std::uint64_t DestinationMoves::staging_left(const Move& move) {
  return kImageBytesMax - std::min(move.staged_bytes, kImageBytesMax);
}

// Nothing is written into an ICON's files once its checkpoint is here.
Status DestinationMoves::still_staging(const Move& move) {
  if (move.transaction.state() != migration::DestinationState::kReserved)
    return fail(Code::kConflict, "the checkpoint has arrived already");
  return {};
}

Task<Status> DestinationMoves::receive_image(Move& move, std::string digest,
                                             http::BodyReader& body) {
  ICON_CO_CHECK(still_staging(move));
  if (digest != move.digest) co_return fail(Code::kInvalid, "that image was not announced");
  move.record.begin("image");
  // Under a temporary name until the digest is checked: a digest never names something else.
  const std::string directory = std::filesystem::path(move.icon.lower_dir).parent_path().string();
  const std::string partial = directory + "." + move.record.id();
  ICON_CO_CHECK(make_directories(partial + "/rootfs"));
  std::error_code error;
  const auto clean = [&] { std::filesystem::remove_all(partial, error); };
  Directories directories{{"image", partial + "/rootfs"}};
  const auto report = co_await extract(body, std::move(directories), staging_left(move));
  if (!report) {
    clean();
    co_return fail(report.error());
  }
  auto digest_of = [tree = partial + "/rootfs"] { return migration::tree_digest(tree); };
  const auto actual = co_await migration::run_on(worker_pool(), std::move(digest_of));
  if (!actual || *actual != digest) {
    clean();
    co_return fail(Code::kUnauthenticated, "the image does not have the digest it came under");
  }
  std::filesystem::rename(partial, directory, error);
  if (error && !std::filesystem::exists(directory)) {
    const std::string why = error.message();
    clean();
    co_return fail(Code::kIo, "store image: " + why);
  }
  clean();  // somebody else stored the same image meanwhile
  move.staged_bytes += report->bytes;
  move.record.end(report->bytes);
  co_return Status{};
}

Task<Status> DestinationMoves::receive_layer(Move& move, http::BodyReader& body) {
  ICON_CO_CHECK(still_staging(move));
  move.record.begin("layer");
  const auto paths = host_.containers->paths(move.icon.id);
  ICON_CO_CHECK(make_directories(paths.run + "/bin"));
  Directories directories{{"upper", paths.upper}, {"bin", paths.run + "/bin"}};
  ICON_CO_TRY(const auto report,
              co_await extract(body, std::move(directories), staging_left(move)));
  move.staged_bytes += report.bytes;
  move.record.end(report.bytes);
  co_return Status{};
}

// Beside the other calls: it lasts from the first look at the memory until the service is frozen.
Task<http::Response> DestinationMoves::answer_memory(MovePtr move, http::BodyReader& body) {
  if (move->pages)
    co_return http::error_response({Code::kConflict, "the memory is arriving already"});
  move->is_receiving_memory = true;
  const auto done = co_await receive_memory(*move, body);
  move->is_receiving_memory = false;
  move->last_heard = host_.clock.steady();
  if (done) co_return http::json_response(200, json::Object{{"memory", move->received_memory}});
  log::warn("migration.memory",
            {{"migration", move->record.id()}, {"error", done.error().message}});
  move->pages.reset();
  co_return http::error_response(done.error());
}

Task<Status> DestinationMoves::receive_memory(Move& move, http::BodyReader& body) {
  ICON_CO_CHECK(still_staging(move));
  ICON_CO_CHECK(make_memory_directory(move));
  const auto wanted = static_cast<std::uint64_t>(move.icon.spec.resources.memory_bytes);
  ICON_CO_TRY(move.pages, migration::PageDaemon::start(
                              co_await boost::asio::this_coro::executor, program_path("icon-pages"),
                              move.memory.path(), wanted == 0 ? kCheckpointBytesMax : wanted));
  const auto pages = move.pages;  // the move may be given up meanwhile
  for (;;) {
    ICON_CO_TRY(const auto bytes, co_await body.read_some());
    if (bytes.empty()) break;
    const auto written = co_await pages->write(bytes);
    if (!written) break;  // received() says why
  }
  ICON_CO_TRY(move.received_memory, co_await pages->received());
  co_return Status{};
}

Status DestinationMoves::make_memory_directory(Move& move) {
  if (move.memory.path().empty()) {
    ICON_TRY(move.memory, MemoryDirectory::create(checkpoint_path(host_, move.record.id()),
                                                  kCheckpointBytesMax));
  }
  return make_directories(move.memory.path() + "/images", 0700);
}

Task<Status> DestinationMoves::receive_checkpoint(Move& move, http::BodyReader& body) {
  ICON_CO_CHECK(still_staging(move));
  move.record.begin("transfer");
  const auto paths = host_.containers->paths(move.icon.id);
  ICON_CO_CHECK(make_memory_directory(move));
  const std::string images = move.memory.path() + "/images";
  Directories directories{{"checkpoint", images}, {"upper", paths.upper}, {"run", paths.run}};
  ICON_CO_TRY(move.received, co_await extract(body, std::move(directories), kCheckpointBytesMax));
  move.record.end(move.received.bytes);
  co_return Status{};
}

Status DestinationMoves::verify_checkpoint(Move& move, const json::Object& body) {
  ICON_TRY(const auto* envelope_json, json::get_object(body, "manifest"));
  ICON_TRY(const auto envelope, wire::parse_envelope(json::Value(*envelope_json)));
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
  ICON_CHECK(host_.market->usable_lease(move.lease.lease_id, move.icon.id));
  ICON_CHECK(host_.journal->check_epoch(move.icon.id, move.order.epoch));
  return migration::remove_paths(host_.containers->paths(move.icon.id).upper, removed);
}

}  // namespace icon::supervisor
