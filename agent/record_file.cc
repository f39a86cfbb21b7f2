#include "agent/record_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <string_view>

#include "base/fd.h"

namespace icon::agent {
namespace {

// Where the last whole line ends: a crash may have left a torn one behind it.
Result<off_t> whole_lines(int file, off_t size) {
  std::array<char, 4096> block;
  while (size > 0) {
    const auto from = std::max<off_t>(0, size - static_cast<off_t>(block.size()));
    const auto got = pread(file, block.data(), static_cast<std::size_t>(size - from), from);
    if (got != size - from) return fail_errno("record: read");
    const std::string_view text(block.data(), static_cast<std::size_t>(got));
    if (const auto end = text.rfind('\n'); end != std::string_view::npos)
      return from + static_cast<off_t>(end) + 1;
    size = from;
  }
  return 0;
}

}  // namespace

Status append_to_record(const std::string& path, const json::Object& line, std::int64_t bytes_max) {
  const auto text = boost::json::serialize(line) + "\n";
  const auto size = static_cast<std::int64_t>(text.size());
  if (size > bytes_max / 2)
    return fail(Code::kLimit, "record: a round takes " + std::to_string(size) + " bytes");
  struct stat info {};
  if (stat(path.c_str(), &info) == 0 && info.st_size + size > bytes_max / 2 &&
      std::rename(path.c_str(), (path + ".old").c_str()) != 0)
    return fail_errno("record: rename " + path);
  const UniqueFd file(
      open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file || fstat(file.get(), &info) != 0) return fail_errno("record: open " + path);
  ICON_TRY(const auto whole, whole_lines(file.get(), info.st_size));
  if (whole != info.st_size && ftruncate(file.get(), whole) != 0)
    return fail_errno("record: cut " + path);
  info.st_size = whole;
  const auto written = write(file.get(), text.data(), text.size());
  if (written == static_cast<ssize_t>(text.size())) return {};
  const int error = written < 0 ? errno : ENOSPC;
  if (ftruncate(file.get(), info.st_size) != 0) return fail_errno("record: cut " + path);
  return fail_errno("record: write " + path, error);
}

}  // namespace icon::agent
