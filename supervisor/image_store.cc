#include "supervisor/image_store.h"

#include <algorithm>
#include <charconv>

#include "base/file.h"

namespace icon::supervisor {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t kSizeTextMax = 64;

struct Image {
  fs::path path;
  fs::file_time_type last_use;
  std::uint64_t bytes = 0;
};

// "DIGEST.SOMETHING" is on its way, here or away.
std::vector<fs::path> whole_images(const std::string& directory) {
  std::vector<fs::path> images;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error))
    if (entry.path().filename().string().find('.') == std::string::npos)
      images.push_back(entry.path());
  return images;
}

std::uint64_t tree_bytes(const fs::path& tree) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(tree, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;
    if (at->is_symlink(ignored) || !at->is_regular_file(ignored)) continue;
    const auto size = at->file_size(ignored);
    if (!ignored) bytes += size;
  }
  return bytes;
}

}  // namespace

void measure_images(const std::string& directory) {
  for (const auto& image : whole_images(directory)) {
    std::error_code error;
    if (fs::exists(image / "bytes", error)) continue;
    const auto last_use = fs::last_write_time(image, error);
    (void)write_file_atomic(image / "bytes", std::to_string(tree_bytes(image / "rootfs")), 0600);
    if (!error) fs::last_write_time(image, last_use, error);
  }
}

std::vector<std::string> set_old_images_aside(const std::string& directory,
                                              const std::set<std::string>& used,
                                              const ImageLimits& limits, fs::file_time_type now) {
  std::vector<Image> unused;
  std::uint64_t bytes = 0;
  std::error_code error;
  for (const auto& path : whole_images(directory)) {
    if (used.contains(path.filename())) {
      fs::last_write_time(path, now, error);
      continue;
    }
    Image image{path, fs::last_write_time(path, error), 0};
    if (error) continue;
    const auto text = read_file(path / "bytes", kSizeTextMax).value_or("0");
    std::from_chars(text.data(), text.data() + text.size(), image.bytes);
    bytes += image.bytes;
    unused.push_back(std::move(image));
  }
  std::sort(unused.begin(), unused.end(),
            [](const Image& a, const Image& b) { return a.last_use < b.last_use; });
  std::vector<std::string> aside;
  for (const auto& image : unused) {
    if (now - image.last_use <= limits.unused_max && bytes <= limits.unused_bytes_max) break;
    const std::string old = image.path.string() + ".old";
    fs::rename(image.path, old, error);
    if (error) continue;
    bytes -= image.bytes;
    aside.push_back(old);
  }
  return aside;
}

}  // namespace icon::supervisor
