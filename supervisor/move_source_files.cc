// The files of an ICON as its source sends them: image and layer while it runs, what has changed
// since then in the gap.
#include <boost/asio/this_coro.hpp>

#include "migration/worker.h"
#include "supervisor/host.h"
#include "supervisor/move_parts.h"
#include "supervisor/move_source.h"

namespace icon::supervisor {
namespace {

// What a move looks at in the gap.
struct FilesNow {
  migration::TreeSnapshot upper;
  migration::TreeSnapshot run;
};

}  // namespace

Task<Status> SourceMove::upload(std::string target, std::vector<migration::TreePart> parts) {
  ICON_CO_TRY(auto source, migration::TarSource::start(co_await boost::asio::this_coro::executor,
                                                       std::move(parts)));
  UploadOf body(*source);
  PeerRequest request;
  request.api = api_;
  request.peer = order_.to;
  request.method = "PUT";
  request.target = std::move(target);
  request.upload = &body;
  request.on_progress = [this](std::uint64_t bytes) { record_.progress(bytes); };
  ICON_CO_TRY(const auto answer, co_await host_.peers->call(std::move(request)));
  ICON_CO_TRY(const auto text, http::body_or_error(answer.response));
  record_.end(answer.bytes_sent);
  co_return Status{};
}

Task<Status> SourceMove::send_image() {
  record_.begin("image");
  std::vector<migration::TreePart> parts{{"image", icon_.lower_dir}};
  co_return co_await upload("/v1/images/" + icon_.image_digest + "?migration=" + id(),
                            std::move(parts));
}

Task<Status> SourceMove::send_layer() {
  const auto paths = host_.containers->paths(icon_id());
  record_.begin("layer");
  auto scan = [upper = paths.upper] { return migration::scan_tree(upper); };
  ICON_CO_TRY(staged_layer_, co_await migration::run_on(worker_pool(), std::move(scan)));
  // No more and no less than what was seen: what else there is in the gap is told from that.
  const auto seen = migration::paths_of(staged_layer_);
  std::vector<migration::TreePart> parts{{"upper", paths.upper, &seen},
                                         {"bin", paths.run + "/bin"}};
  migration::TreeDifference since;
  if (standby_layer_) {  // all but what has changed is there
    since = migration::difference(*standby_layer_, staged_layer_);
    removed_ = std::move(since.removed);
    if (since.changed.empty()) {
      record_.end(0);
      co_return Status{};
    }
    parts = {{"upper", paths.upper, &since.changed}};
  }
  co_return co_await upload("/v1/migrations/" + id() + "/layer", std::move(parts));
}

// What of the ICON's files has changed since they were sent ahead.
Task<Result<MoveStream::Rest>> SourceMove::collect_files(Millis limit) {
  const auto paths = host_.containers->paths(icon_id());
  auto scan = [upper = paths.upper, run = paths.run]() -> Result<FilesNow> {
    FilesNow now;
    ICON_TRY(now.upper, migration::scan_tree(upper));
    ICON_TRY(now.run, migration::scan_tree(run));
    return now;
  };
  ICON_CO_TRY(const auto now, co_await migration::run_within(
                                  gap_pool(), limit, "look at the changed files", std::move(scan)));
  auto delta = migration::difference(staged_layer_, now.upper);
  MoveStream::Rest rest;
  rest.checkpoint = memory_.path() + "/images";
  rest.upper = paths.upper;
  rest.run = paths.run;
  rest.upper_changed = std::move(delta.changed);
  for (const auto& [path, stamp] : now.run)
    if (path != "bin" && !path.starts_with("bin/")) rest.run_files.insert(path);
  rest.manifest = manifest();
  for (const auto& path : delta.removed) rest.manifest.removed.emplace_back(path);
  for (const auto& path : removed_)
    if (!now.upper.contains(path)) rest.manifest.removed.emplace_back(path);
  co_return rest;
}

}  // namespace icon::supervisor
