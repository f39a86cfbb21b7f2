#include "supervisor/api_parts.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>

#include "supervisor/host.h"
#include "supervisor/safe_path.h"

namespace icon::supervisor {
namespace {

namespace asio = boost::asio;
constexpr Millis kFollowStep{200};
constexpr Millis kAgentMax{5'000};
constexpr std::size_t kTailBytesMax = 8 << 20;
constexpr std::size_t kReadBytes = 64 << 10;
constexpr std::size_t kLineBytesMax = 64 << 10;

// Reads a log from an offset on and cuts it into lines. A line without end stays until it has one.
class LogReader {
 public:
  LogReader(std::string directory, std::string name)
      : directory_(std::move(directory)), name_(std::move(name)) {}

  // What has been added since; starts over when the file was replaced or cut.
  std::vector<std::string> more() {
    const auto file = open_in_root(directory_, name_, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    struct stat info {};
    if (!file || fstat(file->get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
    if (info.st_ino != inode_ || info.st_size < offset_) {
      const bool first = inode_ == 0;
      inode_ = info.st_ino;
      const auto tail = static_cast<off_t>(kTailBytesMax);
      offset_ = first && info.st_size > tail ? info.st_size - tail : 0;
      partial_.clear();
    }
    std::vector<std::string> lines;
    char chunk[kReadBytes];
    for (ssize_t count = 0; (count = pread(file->get(), chunk, sizeof chunk, offset_)) > 0;
         offset_ += count)
      cut({chunk, static_cast<std::size_t>(count)}, lines);
    return lines;
  }
  std::string take_partial() { return std::exchange(partial_, {}); }

 private:
  void cut(std::string_view text, std::vector<std::string>& lines) {
    while (!text.empty()) {
      const auto end = text.find('\n');
      partial_ += text.substr(0, end);
      if (end == std::string_view::npos && partial_.size() < kLineBytesMax) return;
      lines.push_back(std::exchange(partial_, {}));
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
  }

  std::string directory_;
  std::string name_;
  ino_t inode_ = 0;
  off_t offset_ = 0;
  std::string partial_;
};

std::string line_object(const std::string& line) {
  return boost::json::serialize(json::Object{{"line", line}});
}

}  // namespace

Result<std::int64_t> query_int(const http::Request& request, const std::string& key,
                               std::int64_t fallback, std::int64_t min, std::int64_t max) {
  const auto found = request.query.find(key);
  if (found == request.query.end()) return fallback;
  const std::string& text = found->second;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < min || value > max)
    return fail(Code::kInvalid, "?" + key + "= must be a whole number from " + std::to_string(min) +
                                    " to " + std::to_string(max));
  return value;
}

Task<void> stream_log(const std::string& directory, const std::string& name, std::size_t count,
                      bool follow, http::LineWriter& lines) {
  LogReader reader(directory, name);
  auto old = reader.more();
  if (!follow)
    if (auto rest = reader.take_partial(); !rest.empty()) old.push_back(std::move(rest));
  for (std::size_t i = old.size() > count ? old.size() - count : 0; i < old.size(); ++i)
    if (!co_await lines.write_line(line_object(old[i]))) co_return;
  if (!follow) co_return;
  asio::steady_timer timer(co_await asio::this_coro::executor);
  for (;;) {
    timer.expires_after(kFollowStep);
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    for (const auto& line : reader.more())
      if (!co_await lines.write_line(line_object(line))) co_return;
  }
}

Task<Result<std::string>> agent_topic(Host& host, IconRecord icon) {
  if (icon.state != icon_state::kRunning)
    co_return fail(Code::kConflict, "ICON " + icon.name + " is " + icon.state);
  std::string topic = EventHub::icon_topic(icon.id);
  const auto listens = co_await host.events.until_somebody_listens(topic, kAgentMax);
  if (!listens)
    co_return fail(Code::kUnavailable, "the agent of " + icon.name +
                                           " does not listen; see `icon logs --source agent`");
  co_return topic;
}

}  // namespace icon::supervisor
