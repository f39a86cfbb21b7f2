#include "cli/table.h"

#include <algorithm>

#include "base/assert.h"

namespace icon::cli {
namespace {

constexpr const char* kGap = "  ";

const char* escape_of(Colour colour) {
  switch (colour) {
    case Colour::kGreen:
      return "\033[32m";
    case Colour::kYellow:
      return "\033[33m";
    case Colour::kRed:
      return "\033[31m";
    case Colour::kBold:
      return "\033[1m";
    case Colour::kNone:
      break;
  }
  return "";
}

}  // namespace

std::string coloured(std::string text, Colour colour, bool enabled) {
  if (!enabled || colour == Colour::kNone) return text;
  return escape_of(colour) + text + "\033[0m";
}

Colour colour_of_state(const std::string& state) {
  for (const char* good : {"running", "done", "active", "offered", "up", "ok"})
    if (state == good) return Colour::kGreen;
  for (const char* bad : {"failed", "rolled_back", "aborted", "rejected", "unreachable", "down"})
    if (state == bad) return Colour::kRed;
  for (const char* passive : {"stopped", "moved", "released", "expired", "known", "-"})
    if (state == passive) return Colour::kNone;
  return Colour::kYellow;
}

std::size_t display_width(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

void Table::add(std::vector<Cell> row) {
  ICON_ASSERT(row.size() == columns_.size());
  rows_.push_back(std::move(row));
}

std::string Table::render(bool colour) const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = display_width(columns_[i].title);
    for (const auto& row : rows_) width = std::max(width, display_width(row[i].text));
    widths.push_back(width);
  }
  std::string text;
  const auto add_line = [&](const std::vector<Cell>& row) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - display_width(row[i].text), ' ');
      const bool right = columns_[i].align == Align::kRight;
      if (i > 0) line += kGap;
      if (right) line += padding;
      line += coloured(row[i].text, row[i].colour, colour);
      if (!right && i + 1 < row.size()) line += padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  };
  std::vector<Cell> header;
  for (const auto& column : columns_) header.emplace_back(column.title, Colour::kBold);
  add_line(header);
  for (const auto& row : rows_) add_line(row);
  return text;
}

}  // namespace icon::cli
