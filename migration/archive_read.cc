// Extraction: the stream was written by a stranger's host, and this process is root.
#include <sys/stat.h>

#include <climits>
#include <filesystem>

#include "migration/archive.h"
#include "migration/archive_parts.h"
#include "migration/beneath.h"

namespace icon::migration {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPathBytesMax = 4096;

// Where an entry lies: its part, and the path below it without "." and empty components.
struct EntryPlace {
  std::string part;
  std::string relative;  // empty: the part's own directory
  std::string name() const { return relative.empty() ? part : part + "/" + relative; }
};

// Errors: kInvalid.
Result<EntryPlace> parse_place(const char* name) {
  const std::string path = name != nullptr ? name : "";
  if (path.empty() || path.size() > kPathBytesMax || path.front() == '/')
    return fail(Code::kInvalid, "archive: bad path '" + path.substr(0, 80) + "'");
  EntryPlace place;
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string component = path.substr(begin, end - begin);
    if (component == "..")
      return fail(Code::kInvalid, "archive: path leaves its directory: " + path);
    if (begin == 0)
      place.part = component;
    else if (!component.empty() && component != ".")
      place.relative += (place.relative.empty() ? "" : "/") + component;
    begin = end + 1;
  }
  return place;
}

// The directory of a part, by a path without links: whoever refuses or removes links on the way to
// an entry must not meet the operator's own (/var/lib/icon -> /data/icon).
struct PartRoot {
  std::string path;
  dev_t device = 0;
  ino_t inode = 0;
};

Result<PartRoot> open_root(const std::string& directory) {
  std::error_code error;
  const fs::path path = fs::canonical(directory, error);
  if (error) return fail(Code::kIo, "extract into " + directory + ": " + error.message());
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return fail_errno("extract into " + directory);
  if (!S_ISDIR(info.st_mode))
    return fail(Code::kInvalid, "extract into " + directory + ": not a directory");
  return PartRoot{path.string(), info.st_dev, info.st_ino};
}

Status check_root(const PartRoot& root) {
  struct stat info {};
  if (lstat(root.path.c_str(), &info) != 0) return fail_errno("look at " + root.path);
  if (!S_ISDIR(info.st_mode) || info.st_dev != root.device || info.st_ino != root.inode)
    return fail(Code::kInvalid, "archive: it replaced the directory " + root.path);
  return {};
}

class TarReader {
 public:
  explicit TarReader(ExtractLimits limits) : limits_(limits) {}

  Result<ArchiveReport> run(int fd, const std::map<std::string, std::string>& directories) {
    for (const auto& [part, directory] : directories) {
      ICON_TRY(roots_[part], open_root(directory));
    }
    in_.reset(archive_read_new());
    out_.reset(archive_write_disk_new());
    archive_read_support_format_tar(in_.get());
    archive_write_disk_set_options(
        out_.get(), ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME |
                        ARCHIVE_EXTRACT_XATTR | ARCHIVE_EXTRACT_ACL | ARCHIVE_EXTRACT_UNLINK |
                        ARCHIVE_EXTRACT_SECURE_NODOTDOT | ARCHIVE_EXTRACT_SECURE_SYMLINKS);
    if (archive_read_open_fd(in_.get(), fd, kChunkBytes) != ARCHIVE_OK)
      return archive_error(in_.get(), "open archive");
    archive_entry* entry = nullptr;
    for (std::uint64_t entries = 0;; ++entries) {
      const int status = archive_read_next_header(in_.get(), &entry);
      if (status == ARCHIVE_EOF) break;
      if (status < ARCHIVE_WARN) return archive_error(in_.get(), "read archive");
      if (entries >= limits_.entries_max)
        return fail(Code::kLimit,
                    "archive has more than " + std::to_string(limits_.entries_max) + " entries");
      ICON_CHECK(extract(entry));
    }
    if (archive_write_close(out_.get()) != ARCHIVE_OK)
      return archive_error(out_.get(), "finish extraction");
    for (const auto& [part, root] : roots_) ICON_CHECK(check_root(root));
    return std::move(report_);
  }

 private:
  // Errors: kInvalid.
  Result<std::string> path_of(const EntryPlace& place) const {
    const auto root = roots_.find(place.part);
    if (root == roots_.end())
      return fail(Code::kInvalid, "archive: unexpected part '" + place.part + "'");
    if (place.relative.empty()) return root->second.path;
    std::string path = root->second.path + "/" + place.relative;
    // Longer ones libarchive reaches by changing the directory of this whole process.
    if (path.size() >= PATH_MAX)
      return fail(Code::kInvalid, "archive: path too long: " + place.name().substr(0, 80));
    return path;
  }

  // A link may lead anywhere inside, but only to a file of the same part.
  Status set_hardlink(archive_entry* entry, const EntryPlace& place, const char* hardlink) const {
    ICON_TRY(const EntryPlace linked, parse_place(hardlink));
    if (linked.part != place.part || linked.relative.empty() || place.relative.empty())
      return fail(Code::kInvalid, "archive: hard link out of its part: " + place.name());
    ICON_TRY(const auto path, path_of(linked));
    archive_entry_set_hardlink(entry, path.c_str());
    // Content would be written into the other file, which has been hashed already.
    archive_entry_unset_size(entry);
    return {};
  }

  // What a file claims to be, holes included: a sparse one of a few bytes may claim the disk.
  Status count_content(const std::string& part, std::int64_t bytes) {
    ICON_CHECK(count_up_to(limits_.bytes_max, content_bytes_, bytes, "archive"));
    const auto own = limits_.parts.find(part);
    if (own == limits_.parts.end()) return {};
    const auto counted = count_up_to(own->second.bytes_max, part_bytes_[part], bytes,
                                     "part '" + part + "' of the archive");
    if (counted) return {};
    return fail(counted.error().code,
                counted.error().message + ", the limit of " + own->second.whose);
  }
  static Status count_up_to(std::uint64_t bytes_max, std::uint64_t& sum, std::int64_t bytes,
                            const std::string& what) {
    if (bytes < 0 || static_cast<std::uint64_t>(bytes) > bytes_max - sum)
      return fail(Code::kLimit, what + " holds more than " + std::to_string(bytes_max) + " bytes");
    sum += static_cast<std::uint64_t>(bytes);
    return {};
  }

  // A directory of an earlier archive, where something else is now: libarchive removes it only if
  // it is empty.
  Status clear_directory(const EntryPlace& place) const {
    const auto& root = roots_.find(place.part)->second;
    ICON_TRY(const UniqueFd tree, open_tree(root.path));
    const auto way = find_place(tree, place.relative);
    if (!way && way.error().code == Code::kNotFound) return {};
    if (!way) return fail(way.error());
    struct stat info {};
    if (lstat(way->path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) return {};
    std::error_code error;
    fs::remove_all(way->path, error);
    if (error) return fail(Code::kIo, "replace " + place.name() + ": " + error.message());
    return {};
  }

  Status extract(archive_entry* entry) {
    ICON_TRY(const EntryPlace place, parse_place(archive_entry_pathname(entry)));
    ICON_TRY(const auto target, path_of(place));
    const std::string name = place.name();
    const char* hardlink = archive_entry_hardlink(entry);
    // Anything else would take the place of the part's directory: a link, and what follows goes
    // where it leads.
    if (place.relative.empty() && (archive_entry_filetype(entry) != AE_IFDIR || hardlink))
      return fail(Code::kInvalid, "archive: '" + name + "' must be a directory");
    archive_entry_set_pathname(entry, target.c_str());
    if (hardlink != nullptr) ICON_CHECK(set_hardlink(entry, place, hardlink));
    if (archive_entry_filetype(entry) != AE_IFDIR) ICON_CHECK(clear_directory(place));
    const bool has_content = archive_entry_filetype(entry) == AE_IFREG && hardlink == nullptr;
    if (has_content) ICON_CHECK(count_content(place.part, archive_entry_size(entry)));
    if (archive_write_header(out_.get(), entry) < ARCHIVE_WARN)
      return archive_error(out_.get(), "create " + name);
    if (has_content) ICON_CHECK(copy_content(name, archive_entry_size(entry)));
    if (archive_write_finish_entry(out_.get()) < ARCHIVE_WARN)
      return archive_error(out_.get(), "finish " + name);
    return {};
  }

  Status copy_content(const std::string& name, std::int64_t size) {
    Digest hash;
    std::int64_t hashed = 0;
    for (;;) {
      const void* data = nullptr;
      std::size_t count = 0;
      la_int64_t offset = 0;
      const int status = archive_read_data_block(in_.get(), &data, &count, &offset);
      if (status == ARCHIVE_EOF) break;
      if (status < ARCHIVE_WARN) return archive_error(in_.get(), "read " + name);
      if (offset < hashed || offset > size || static_cast<std::int64_t>(count) > size - offset)
        return fail(Code::kInvalid, "archive: content outside of " + name);
      report_.bytes += count;
      if (archive_write_data_block(out_.get(), data, count, offset) < ARCHIVE_WARN)
        return archive_error(out_.get(), "write " + name);
      hash.add_zeroes(offset - hashed);
      hash.add(data, count);
      hashed = offset + static_cast<std::int64_t>(count);
    }
    hash.add_zeroes(size - hashed);
    report_.files[name] = std::to_string(size) + ":" + hash.hex();
    return {};
  }

  ExtractLimits limits_;
  std::map<std::string, PartRoot> roots_;
  ArchivePtr in_;
  ArchivePtr out_;
  ArchiveReport report_;
  std::uint64_t content_bytes_ = 0;
  std::map<std::string, std::uint64_t> part_bytes_;
};

}  // namespace

Result<ArchiveReport> read_tar(int fd, const std::map<std::string, std::string>& directories,
                               ExtractLimits limits) {
  return TarReader(limits).run(fd, directories);
}

}  // namespace icon::migration
