#include "supervisor/staging.h"

#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <filesystem>

#include "base/file.h"
#include "base/log.h"
#include "migration/worker.h"
#include "supervisor/move_parts.h"
#include "supervisor/removal.h"
#include "supervisor/upload_pace.h"

namespace icon::supervisor {

Task<Result<migration::ArchiveReport>> extract_body(http::BodyReader& body,
                                                    std::map<std::string, std::string> directories,
                                                    std::uint64_t bytes_max) {
  migration::ExtractLimits limits;
  limits.bytes_max = bytes_max;
  ICON_CO_TRY(auto sink, migration::TarSink::start(co_await boost::asio::this_coro::executor,
                                                   std::move(directories), limits));
  UploadPace pace(std::chrono::steady_clock::now());
  for (;;) {
    ICON_CO_TRY(const auto bytes, co_await body.read_some());
    if (bytes.empty()) break;
    ICON_CO_CHECK(pace.take(std::chrono::steady_clock::now(), bytes.size()));
    if (!co_await sink->write(bytes)) break;  // finish() says why
  }
  co_return co_await sink->finish();
}

Task<Result<std::uint64_t>> store_image(ArrivingImage image, http::BodyReader& body) {
  // Under a temporary name until the digest is checked: a digest never names something else.
  const std::string directory = std::filesystem::path(image.rootfs).parent_path().string();
  const std::string partial = directory + "." + image.suffix;
  ICON_CO_CHECK(make_directories(partial + "/rootfs"));
  std::error_code error;
  const auto clean = [&] {
    if (const auto removed = remove_later(image.state_dir, partial); !removed)
      log::warn("images.left_over", {{"path", partial}, {"error", removed.error().message}});
  };
  std::map<std::string, std::string> directories{{"image", partial + "/rootfs"}};
  const auto report = co_await extract_body(body, std::move(directories), image.bytes_max);
  if (!report) {
    clean();
    co_return fail(report.error());
  }
  auto digest_of = [tree = partial + "/rootfs"] { return migration::tree_digest(tree); };
  const auto actual = co_await migration::run_on(worker_pool(), std::move(digest_of));
  if (!actual || *actual != image.digest) {
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
  co_return report->bytes;
}

}  // namespace icon::supervisor
