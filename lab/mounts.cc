#include "lab/mounts.h"

#include <algorithm>
#include <sstream>

#include "base/file.h"

namespace icon::lab {
namespace {

constexpr std::size_t kMountInfoBytesMax = 8 << 20;

// Blanks and backslashes are written as \ooo.
std::string unescaped(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

struct MountLine {
  std::string root;
  std::string point;
  std::string rest;
};

std::vector<MountLine> lines_of(std::string_view mountinfo) {
  std::vector<MountLine> lines;
  std::istringstream text{std::string(mountinfo)};
  for (std::string line; std::getline(text, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, point, rest;
    fields >> id >> parent >> device >> root >> point;
    std::getline(fields, rest);
    if (!point.empty()) lines.push_back({unescaped(root), unescaped(point), unescaped(rest)});
  }
  return lines;
}

}  // namespace

std::vector<std::string> parse_mount_points(std::string_view mountinfo) {
  std::vector<std::string> points;
  for (auto& line : lines_of(mountinfo)) points.push_back(std::move(line.point));
  return points;
}

std::string parse_root_mount(std::string_view mountinfo) {
  std::string found;
  for (const auto& line : lines_of(mountinfo))
    if (line.point == "/") found = line.root + " " + line.rest;
  return found;
}

std::vector<std::string> mounts_under(const std::string& directory) {
  const auto text = read_file("/proc/self/mountinfo", kMountInfoBytesMax);
  std::vector<std::string> found;
  if (!text) return found;
  for (auto& point : parse_mount_points(*text))
    if (point == directory || point.starts_with(directory + "/")) found.push_back(std::move(point));
  // A later mount may lie on an earlier one; a deeper one comes first in any case.
  std::reverse(found.begin(), found.end());
  std::stable_sort(found.begin(), found.end(), [](const std::string& x, const std::string& y) {
    return std::count(x.begin(), x.end(), '/') > std::count(y.begin(), y.end(), '/');
  });
  return found;
}

std::string root_mount_of(int pid) {
  const auto text = read_file("/proc/" + std::to_string(pid) + "/mountinfo", kMountInfoBytesMax);
  return text ? parse_root_mount(*text) : std::string();
}

}  // namespace icon::lab
