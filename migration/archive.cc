#include "migration/archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/fd.h"
#include "migration/archive_parts.h"
#include "migration/beneath.h"

namespace icon::migration {
namespace {

namespace fs = std::filesystem;

class TarWriter {
 public:
  TarWriter(int fd, const Progress& progress) : progress_(progress) {
    out_.reset(archive_write_new());
    disk_.reset(archive_read_disk_new());
    archive_read_disk_set_symlink_physical(disk_.get());
    archive_write_set_format_pax(out_.get());
    archive_write_set_bytes_in_last_block(out_.get(), 1);
    archive_write_set_bytes_per_block(out_.get(), kChunkBytes);
    opened_ = archive_write_open_fd(out_.get(), fd) == ARCHIVE_OK;
    links_.reset(archive_entry_linkresolver_new());
    archive_entry_linkresolver_set_strategy(links_.get(), archive_format(out_.get()));
  }

  Status add(const TreePart& part) {
    if (!opened_) return archive_error(out_.get(), "open archive");
    std::vector<std::string> paths;
    if (part.only != nullptr)
      paths.assign(part.only->begin(), part.only->end());
    else {
      ICON_TRY(paths, list_tree(part.directory));
    }
    ICON_TRY(const UniqueFd tree, open_tree(part.directory));
    for (const auto& path : paths) ICON_CHECK(add_path(part, tree, path));
    return {};
  }

  Result<ArchiveReport> finish() {
    if (archive_write_close(out_.get()) != ARCHIVE_OK)
      return archive_error(out_.get(), "finish archive");
    report_.bytes = static_cast<std::uint64_t>(archive_filter_bytes(out_.get(), -1));
    return std::move(report_);
  }

 private:
  struct LinksFree {
    void operator()(archive_entry_linkresolver* l) const { archive_entry_linkresolver_free(l); }
  };

  Status add_path(const TreePart& part, const UniqueFd& tree, const std::string& relative) {
    const std::string name = part.directory + "/" + relative;
    const auto place = find_place(tree, relative);
    if (!place && place.error().code == Code::kNotFound) return {};  // gone since the listing
    if (!place) return fail(place.error());
    const std::string& source = place->path;
    UniqueFd file(open(source.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat info {};
    if (lstat(source.c_str(), &info) != 0) {
      if (errno == ENOENT) return {};
      return fail_errno("stat " + name);
    }
    if (S_ISSOCK(info.st_mode)) return {};
    EntryPtr entry(archive_entry_new());
    archive_entry_copy_sourcepath(entry.get(), source.c_str());
    archive_entry_set_pathname(entry.get(), (part.prefix + "/" + relative).c_str());
    const bool regular = S_ISREG(info.st_mode) && file;
    if (archive_read_disk_entry_from_file(disk_.get(), entry.get(), regular ? file.get() : -1,
                                          &info) < ARCHIVE_WARN)
      return archive_error(disk_.get(), "read " + name);
    archive_entry* linked = entry.get();
    archive_entry* spare = nullptr;
    archive_entry_linkify(links_.get(), &linked, &spare);
    if (archive_write_header(out_.get(), entry.get()) < ARCHIVE_WARN)
      return archive_error(out_.get(), "write header of " + name);
    if (regular && archive_entry_hardlink(entry.get()) == nullptr)
      return copy_content(file.get(), part.prefix + "/" + relative, info.st_size);
    return {};
  }

  Status copy_content(int file, const std::string& name, off_t size) {
    Digest hash;
    off_t done = 0;
    while (done < size) {
      const auto want = std::min<off_t>(static_cast<off_t>(buffer_.size()), size - done);
      ssize_t count = pread(file, buffer_.data(), static_cast<std::size_t>(want), done);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return fail_errno("read " + name);
      if (count == 0) {  // it shrank: the header has promised `size` bytes
        std::fill_n(buffer_.begin(), want, '\0');
        count = static_cast<ssize_t>(want);
      }
      if (archive_write_data(out_.get(), buffer_.data(), static_cast<std::size_t>(count)) != count)
        return archive_error(out_.get(), "write " + name);
      hash.add(buffer_.data(), static_cast<std::size_t>(count));
      done += count;
      if (progress_) progress_(static_cast<std::uint64_t>(archive_filter_bytes(out_.get(), -1)));
    }
    report_.files[name] = std::to_string(size) + ":" + hash.hex();
    return {};
  }

  const Progress& progress_;
  ArchivePtr out_;
  ArchivePtr disk_;
  std::unique_ptr<archive_entry_linkresolver, LinksFree> links_;
  bool opened_ = false;
  std::vector<char> buffer_ = std::vector<char>(kChunkBytes);
  ArchiveReport report_;
};

Status hash_content(const std::string& path, Digest& hash, std::vector<char>& buffer) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return fail_errno("read " + path);
  for (;;) {
    const ssize_t count = read(file.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("read " + path);
    if (count == 0) return {};
    hash.add(buffer.data(), static_cast<std::size_t>(count));
  }
}

}  // namespace

Result<ArchiveReport> write_tar(int fd, const std::vector<TreePart>& parts,
                                const Progress& progress) {
  TarWriter writer(fd, progress);
  for (const auto& part : parts) ICON_CHECK(writer.add(part));
  return writer.finish();
}

Result<std::string> tree_digest(const std::string& directory) {
  ICON_TRY(const auto paths, list_tree(directory));
  Digest hash;
  std::vector<char> buffer(kChunkBytes);
  for (const auto& relative : paths) {
    const std::string path = directory + "/" + relative;
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0) return fail_errno("stat " + path);
    if (S_ISSOCK(info.st_mode)) continue;
    hash.add(relative);
    hash.add(std::to_string(info.st_mode) + " " + std::to_string(info.st_uid) + " " +
             std::to_string(info.st_gid));
    if (S_ISREG(info.st_mode)) {
      hash.add(std::to_string(info.st_size));
      ICON_CHECK(hash_content(path, hash, buffer));
    } else if (S_ISLNK(info.st_mode)) {
      std::error_code error;
      hash.add(fs::read_symlink(path, error).string());
    } else if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) {
      hash.add(std::to_string(info.st_rdev));
    }
  }
  return hash.hex();
}

Result<TreeSnapshot> scan_tree(const std::string& directory) {
  ICON_TRY(const auto paths, list_tree(directory));
  TreeSnapshot snapshot;
  for (const auto& path : paths) {
    struct stat info {};
    if (lstat((directory + "/" + path).c_str(), &info) != 0) continue;
    const auto nanoseconds = [](const timespec& time) {
      return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
    };
    snapshot[path] = {info.st_size, nanoseconds(info.st_mtim), nanoseconds(info.st_ctim),
                      info.st_ino, info.st_mode};
  }
  return snapshot;
}

std::set<std::string> paths_of(const TreeSnapshot& snapshot) {
  std::set<std::string> paths;
  for (const auto& [path, stamp] : snapshot) paths.insert(paths.end(), path);
  return paths;
}

TreeDifference difference(const TreeSnapshot& before, const TreeSnapshot& after) {
  TreeDifference result;
  for (const auto& [path, stamp] : after) {
    const auto old = before.find(path);
    if (old == before.end() || old->second != stamp) result.changed.insert(path);
  }
  for (const auto& [path, stamp] : before)
    if (!after.contains(path)) result.removed.push_back(path);
  return result;
}

Status remove_paths(const std::string& directory, const std::vector<std::string>& relative,
                    const std::string& aside) {
  ICON_TRY(const UniqueFd tree, open_tree(directory));
  std::size_t moved = 0;
  for (const auto& path : relative) {
    for (const auto& part : fs::path(path))
      if (part == ".." || fs::path(path).is_absolute())
        return fail(Code::kInvalid, "path leaves its directory: " + path);
    const auto place = find_place(tree, path);
    // Its directory went, too, or a link or a file has come in its place.
    if (!place && place.error().code == Code::kNotFound) continue;
    if (!place) return fail(place.error());
    std::error_code error;
    if (!aside.empty() && fs::is_directory(fs::symlink_status(place->path, error))) {
      fs::create_directories(aside, error);
      fs::rename(place->path, aside + "/" + std::to_string(moved++), error);
      if (!error) continue;  // else at once: on another file system
    }
    fs::remove_all(place->path, error);
    if (error) return fail(Code::kIo, "remove " + path + ": " + error.message());
  }
  return {};
}

}  // namespace icon::migration
