#include "agent/record_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <cstdio>

#include "base/fd.h"

namespace icon::agent {

Status append_to_record(const std::string& path, const json::Object& line, std::int64_t bytes_max) {
  const auto text = boost::json::serialize(line) + "\n";
  const auto size = static_cast<std::int64_t>(text.size());
  if (size > bytes_max / 2)
    return fail(Code::kLimit, "record: a round takes " + std::to_string(size) + " bytes");
  struct stat info {};
  if (stat(path.c_str(), &info) == 0 && info.st_size + size > bytes_max / 2 &&
      std::rename(path.c_str(), (path + ".old").c_str()) != 0)
    return fail_errno("record: rename " + path);
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  if (!file || fstat(file.get(), &info) != 0) return fail_errno("record: open " + path);
  const auto written = write(file.get(), text.data(), text.size());
  if (written == static_cast<ssize_t>(text.size())) return {};
  const int error = written < 0 ? errno : ENOSPC;
  if (ftruncate(file.get(), info.st_size) != 0) return fail_errno("record: cut " + path);
  return fail_errno("record: write " + path, error);
}

}  // namespace icon::agent
