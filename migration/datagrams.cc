#include "migration/datagrams.h"

#include <charconv>
#include <sstream>
#include <string>
#include <system_error>

#include "base/file.h"

namespace icon::migration {
namespace {

constexpr std::size_t kTableBytesMax = 8 << 20;  // about 60,000 sockets
constexpr const char* kNoQueues = "a line of /proc/PID/net/udp without queues";

}  // namespace

Result<std::uint64_t> parse_unread_bytes(std::string_view text) {
  std::istringstream lines{std::string(text)};
  std::string line;
  std::getline(lines, line);  // what the columns are called
  std::uint64_t sum = 0;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string number, local, remote, state, queues;
    words >> number >> local >> remote >> state >> queues;  // the last: sent:received
    const auto colon = queues.find(':');
    const char* const end = queues.data() + queues.size();
    std::uint64_t bytes = 0;
    if (colon == std::string::npos) return fail(Code::kInvalid, kNoQueues);
    const auto read = std::from_chars(queues.data() + colon + 1, end, bytes, 16);
    if (read.ec != std::errc() || read.ptr != end) return fail(Code::kInvalid, kNoQueues);
    sum += bytes;
  }
  return sum;
}

Result<std::uint64_t> unread_datagram_bytes(int pid) {
  std::uint64_t sum = 0;
  for (const char* name : {"udp", "udp6"}) {
    const std::string path = "/proc/" + std::to_string(pid) + "/net/" + name;
    const auto text = read_file(path, kTableBytesMax);
    // A kernel without IPv6 has no udp6.
    if (!text && text.error().code == Code::kNotFound && std::string_view(name) == "udp6") continue;
    if (!text) return fail(text.error());
    ICON_TRY(const auto bytes, parse_unread_bytes(*text));
    sum += bytes;
  }
  return sum;
}

}  // namespace icon::migration
