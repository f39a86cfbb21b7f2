// Listings: aligned columns, colour only where it helps and is wanted. Pure.
#pragma once

#include <string>
#include <vector>

namespace icon::cli {

enum class Colour { kNone, kGreen, kYellow, kRed, kBold };

std::string coloured(std::string text, Colour colour, bool enabled);
// Green for what runs, yellow for what is under way, red for what failed.
Colour colour_of_state(const std::string& state);

class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };
  struct Cell {
    Cell(std::string cell_text, Colour cell_colour = Colour::kNone)  // NOLINT: made from text
        : text(std::move(cell_text)), colour(cell_colour) {}
    std::string text;
    Colour colour;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // As many cells as there are columns.
  void add(std::vector<Cell> row);
  bool empty() const { return rows_.empty(); }
  // Lines with a newline each; no blanks at their ends.
  std::string render(bool colour) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// How many columns of a terminal `text` takes: UTF-8 characters, one each.
std::size_t display_width(const std::string& text);

}  // namespace icon::cli
