#include "supervisor/removal.h"

#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "base/encoding.h"
#include "base/file.h"
#include "base/log.h"
#include "supervisor/move_parts.h"

namespace icon::supervisor {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kSuffixBytes = 8;

}  // namespace

// What is removed twice under one name may still be there from the first time.
std::string place_aside(const std::string& state_dir, const std::string& path) {
  return state_dir + "/" + kRemovedDirectory + "/" + fs::path(path).filename().string() + "." +
         random_token(kSuffixBytes);
}

void remove_aside(std::string aside) {
  boost::asio::post(worker_pool(), [aside = std::move(aside)] {
    std::error_code error;
    fs::remove_all(aside, error);
    // The next start finds it.
    if (error) log::warn("removal.failed", {{"path", aside}, {"error", error.message()}});
  });
}

Status remove_later(const std::string& state_dir, const std::string& path) {
  ICON_CHECK(make_directories(state_dir + "/" + kRemovedDirectory, 0700));
  std::string aside = place_aside(state_dir, path);
  if (std::rename(path.c_str(), aside.c_str()) == 0) {
    remove_aside(std::move(aside));
    return {};
  }
  if (errno == ENOENT) return {};
  if (errno != EXDEV) return fail_errno("rename " + path + " to " + aside);
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return fail(Code::kIo, "remove " + path + ": " + error.message());
  return {};
}

void remove_left_aside(const std::string& state_dir) {
  std::error_code error;
  fs::directory_iterator left(state_dir + "/" + kRemovedDirectory, error);
  for (; !error && left != fs::directory_iterator(); left.increment(error))
    remove_aside(left->path().string());
}

}  // namespace icon::supervisor
