#include "supervisor/consumption.h"

#include <charconv>
#include <sstream>
#include <string>

#include "base/file.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kCounterBytesMax = 4096;
constexpr std::size_t kDevBytesMax = 64 << 10;
constexpr std::string_view kInside = "eth0";

std::int64_t number(std::string_view text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value < 0 ? 0 : value;
}

// "usage_usec 12\nuser_usec 3\n"
std::int64_t field(const std::string& text, std::string_view name) {
  std::istringstream lines(text);
  std::string key;
  std::int64_t value = 0;
  while (lines >> key >> value)
    if (key == name) return value;
  return 0;
}

// Each counter is in one of the group's directories.
std::optional<std::string> counter(const Cgroup& group, std::string_view file) {
  for (const auto& directory : group.directories())
    if (auto text = read_file(directory + '/' + std::string(file), kCounterBytesMax))
      return std::move(*text);
  return std::nullopt;
}

}  // namespace

std::optional<InterfaceBytes> interface_bytes(std::string_view text, std::string_view interface) {
  std::istringstream lines{std::string(text)};
  std::string line;
  while (std::getline(lines, line)) {
    const auto colon = line.find(':');
    if (colon == std::string::npos) continue;
    const auto name = line.find_first_not_of(' ');
    if (std::string_view(line).substr(name, colon - name) != interface) continue;
    std::istringstream fields(line.substr(colon + 1));
    InterfaceBytes bytes;
    std::int64_t ignored = 0;
    fields >> bytes.received;
    for (int i = 0; i < 7; ++i) fields >> ignored;  // the rest about receiving
    fields >> bytes.sent;
    if (!fields || bytes.received < 0 || bytes.sent < 0) return std::nullopt;
    return bytes;
  }
  return std::nullopt;
}

Consumption consumption_of(const Cgroup& group, int pid) {
  Consumption used;
  if (group.is_v2()) {
    used.cpu_us = field(counter(group, "cpu.stat").value_or(""), "usage_usec");
    auto peak = counter(group, "memory.peak");  // since Linux 5.19
    if (!peak) peak = counter(group, "memory.current");
    used.memory_bytes_max = number(peak.value_or(""));
  } else {
    used.cpu_us = number(counter(group, "cpuacct.usage").value_or("")) / 1000;
    used.memory_bytes_max = number(counter(group, "memory.max_usage_in_bytes").value_or(""));
  }
  if (pid <= 0) return used;
  const auto text = read_file("/proc/" + std::to_string(pid) + "/net/dev", kDevBytesMax);
  if (!text) return used;
  if (const auto bytes = interface_bytes(*text, kInside)) {
    used.sent_bytes = bytes->sent;
    used.received_bytes = bytes->received;
  }
  return used;
}

}  // namespace icon::supervisor
