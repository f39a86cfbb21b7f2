#include "migration/movable/proc_text.h"

#include <charconv>

namespace icon::migration {
namespace {

constexpr int kSavedIds = 3;  // real, effective, saved; the fourth is the file system's

template <class Number>
bool read_number(std::string_view text, Number& number, int base = 10) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return read.ec == std::errc() && read.ptr == text.data() + text.size();
}

// Takes what stands before `separator` off the front of `text`; all of it when there is none.
std::string_view take(std::string_view& text, char separator) {
  const auto at = text.find(separator);
  const auto front = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return front;
}

// The same, over any number of blanks or tabs.
std::string_view take_word(std::string_view& text) {
  const auto from = text.find_first_not_of(" \t");
  text.remove_prefix(from == std::string_view::npos ? text.size() : from);
  const auto at = text.find_first_of(" \t");
  const auto word = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at);
  return word;
}

// "\040" -> " ": how the kernel writes characters that would break a line or a column.
std::string unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;
    if (text[i] == '\\' && text.size() - i > 3 && read_number(text.substr(i + 1, 3), code, 8) &&
        code < 256) {
      plain += static_cast<char>(code);
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

bool read_device(std::string_view text, DeviceNumber& device, int base) {
  const auto major = take(text, ':');
  return read_number(major, device.major, base) && read_number(text, device.minor, base);
}

// "d:3a" -> what stands behind "name:".
std::optional<std::string_view> field(std::string_view line, std::string_view name) {
  while (!line.empty()) {
    const auto word = take_word(line);
    if (word.starts_with(name)) return word.substr(name.size());
  }
  return std::nullopt;
}

bool read_hex_bytes(std::string_view text, std::string& bytes) {
  if (text.size() % 2 != 0 || text.size() / 2 > kHandleBytesMax) return false;
  for (; !text.empty(); text.remove_prefix(2)) {
    unsigned byte = 0;
    if (!read_number(text.substr(0, 2), byte, 16)) return false;
    bytes += static_cast<char>(byte);
  }
  return true;
}

// "inotify wd:1 ino:a7 sdev:2d mask:100 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:..",
// and fanotify's, which has the same fields where it watches an inode. All numbers hexadecimal.
std::optional<Watch> read_watch(std::string_view line) {
  Watch watch;
  std::uint32_t device = 0;
  const auto inode = field(line, "ino:");
  const auto number = field(line, "sdev:");
  if (!inode || !number || !read_number(*inode, watch.inode, 16) ||
      !read_number(*number, device, 16))
    return std::nullopt;
  watch.device = {device >> 20, device & 0xfffff};  // the kernel's own dev_t
  const auto type = field(line, "fhandle-type:");
  const auto handle = field(line, "f_handle:");
  if (type && handle && read_number(*type, watch.handle_type, 16) &&
      !read_hex_bytes(*handle, watch.handle))
    watch.handle.clear();
  return watch;
}

}  // namespace

Result<ProcessStatus> parse_status(std::string_view text) {
  ProcessStatus status;
  bool has_parent = false;
  while (!text.empty()) {
    auto line = take(text, '\n');
    const auto key = take(line, ':');
    if (key == "Name") {
      status.name = line.substr(line.starts_with('\t') ? 1 : 0);
    } else if (key == "State") {
      const auto word = take_word(line);
      status.state = word.empty() ? '?' : word.front();
    } else if (key == "PPid") {
      has_parent = read_number(take_word(line), status.parent);
    } else if (key == "TracerPid") {
      (void)read_number(take_word(line), status.tracer);
    } else if (key == "Uid" || key == "Gid") {
      std::uint32_t id = 0;
      for (int i = 0; i < kSavedIds && read_number(take_word(line), id); ++i) status.ids.insert(id);
    } else if (key == "NSpid") {
      for (int id = 0; read_number(take_word(line), id);) status.inner_ids.push_back(id);
    }
  }
  if (!has_parent || status.state == '?')
    return fail(Code::kInvalid, "the status of a process lacks its parent or its state");
  return status;
}

Result<std::vector<Mapping>> parse_maps(std::string_view text) {
  std::vector<Mapping> mappings;
  while (!text.empty()) {
    auto line = take(text, '\n');
    Mapping mapping;
    auto range = take_word(line);
    const auto start = take(range, '-');
    if (!read_number(start, mapping.start, 16) || !read_number(range, mapping.end, 16))
      return fail(Code::kInvalid, "a line of a maps file has no address");
    take_word(line);  // what may be done with it
    take_word(line);  // offset
    if (!read_device(take_word(line), mapping.device, 16) ||
        !read_number(take_word(line), mapping.inode))
      return fail(Code::kInvalid, "a line of a maps file has no file");
    const auto from = line.find_first_not_of(' ');
    if (from != std::string_view::npos) mapping.path = line.substr(from);
    if (mappings.size() == kMappingsMax) return fail(Code::kLimit, "more than 1,000,000 mappings");
    mappings.push_back(std::move(mapping));
  }
  return mappings;
}

Result<std::vector<Mount>> parse_mountinfo(std::string_view text) {
  std::vector<Mount> mounts;
  while (!text.empty()) {
    auto line = take(text, '\n');
    Mount mount;
    const bool has_id = read_number(take_word(line), mount.id);
    take_word(line);  // parent
    const bool has_device = read_device(take_word(line), mount.device, 10);
    mount.root = unescape(take_word(line));
    mount.point = unescape(take_word(line));
    // Optional fields, of any number, end with a lone dash.
    while (!line.empty() && take_word(line) != "-") {
    }
    mount.type = unescape(take_word(line));
    if (!has_id || !has_device || mount.type.empty())
      return fail(Code::kInvalid, "a line of a mountinfo file cannot be read");
    if (mounts.size() == kMountsMax) return fail(Code::kLimit, "more than 10,000 mounts");
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

DescriptorInfo parse_fdinfo(std::string_view text) {
  DescriptorInfo info;
  const auto number = [](std::string_view line, std::optional<int>& value) {
    if (int read = 0; !value && read_number(take_word(line), read)) value = read;
  };
  while (!text.empty()) {
    const auto line = take(text, '\n');
    if (line.starts_with("inotify ") || line.starts_with("fanotify ")) {
      if (info.watches.size() < kWatchesMax)
        if (auto watch = read_watch(line)) info.watches.push_back(std::move(*watch));
      continue;
    }
    auto rest = line;
    const auto key = take(rest, ':');
    if (key == "flags") (void)read_number(take_word(rest), info.flags, 8);
    if (key == "mnt_id") number(rest, info.mount);
    if (key == "Pid") number(rest, info.process);
    if (key == "map_type") number(rest, info.bpf_map_type);
    // "lock: 1: LEASE  ACTIVE    WRITE 4711 00:2a:10 0 EOF"
    if (key == "lock" && rest.find("LEASE") != std::string_view::npos)
      info.has_write_lease |= rest.find(" WRITE ") != std::string_view::npos;
  }
  return info;
}

}  // namespace icon::migration
