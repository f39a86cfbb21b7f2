#include "agent/host_meter.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/file.h"

namespace icon::agent {
namespace {

constexpr std::size_t kProcBytesMax = 64 << 10;
constexpr std::int64_t kNsPerUs = 1'000;

bool is_number(const std::string& name) {
  return !name.empty() &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The next number of `text`, which is taken from it; 0 when there is none.
std::int64_t take_number(std::string_view& text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return error == std::errc{} ? value : 0;
}

void add_task(const std::string& path, HostSums& sums) {
  const auto text = read_file(path + "/schedstat", 256);
  if (!text) return;  // gone meanwhile
  std::string_view rest(*text);
  sums.cpu_us += take_number(rest) / kNsPerUs;
  sums.waited_us += take_number(rest) / kNsPerUs;
}

void add_traffic(HostSums& sums) {
  const auto text = read_file("/proc/net/dev", kProcBytesMax);
  if (!text) return;
  std::string_view rest(*text);
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || line.substr(0, colon).ends_with(" lo")) continue;
    line.remove_prefix(colon + 1);
    sums.net_bytes += take_number(line);
    for (int i = 0; i < 7; ++i) (void)take_number(line);
    sums.net_bytes += take_number(line);
  }
}

}  // namespace

HostSums read_host_sums() {
  HostSums sums;
  std::size_t tasks = 0;
  std::error_code error;
  namespace fs = std::filesystem;
  for (fs::directory_iterator process("/proc", error), end; !error && process != end;
       process.increment(error)) {
    if (!is_number(process->path().filename().string())) continue;
    std::error_code gone;
    for (fs::directory_iterator task(process->path() / "task", gone); !gone && task != end;
         task.increment(gone)) {
      if (++tasks > kMeteredTasksMax) break;
      add_task(task->path().string(), sums);
    }
    if (tasks > kMeteredTasksMax) break;
  }
  add_traffic(sums);
  return sums;
}

budget::HostUse HostMeter::since_last(const HostSums& sums, std::int64_t cpu_millis,
                                      SteadyTime now) {
  budget::HostUse use;
  const auto elapsed_us = std::chrono::duration_cast<Micros>(now - at_).count();
  if (started_ && elapsed_us > 0) {
    // A task that has ended takes its sums along: then this time says nothing.
    const auto ran = std::max<std::int64_t>(0, sums.cpu_us - last_.cpu_us);
    const auto waited = std::max<std::int64_t>(0, sums.waited_us - last_.waited_us);
    const auto slot_us = elapsed_us / 1'000 * cpu_millis;
    use.cpu_wanted_us = std::min(slot_us, ran + waited);
    use.cpu_got_us = std::min(ran, use.cpu_wanted_us);
    const auto bytes = std::max<std::int64_t>(0, sums.net_bytes - last_.net_bytes);
    use.bandwidth_bps = static_cast<std::int64_t>(static_cast<double>(bytes) * 8e6 /
                                                  static_cast<double>(elapsed_us));
  }
  last_ = sums;
  at_ = now;
  started_ = true;
  return use;
}

}  // namespace icon::agent
