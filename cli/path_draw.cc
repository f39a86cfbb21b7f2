// A path as lines, as DOT and as SVG.
#include <fmt/format.h>

#include <algorithm>

#include "cli/path_view.h"
#include "cli/table.h"

namespace icon::cli {
namespace {

using Kind = PathStation::Kind;

std::string padded(const std::string& text, std::size_t width, bool right = false) {
  const std::string blanks(width - std::min(width, display_width(text)), ' ');
  return right ? blanks + text : text + blanks;
}

std::string without_end_blanks(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line + '\n';
}

Colour colour_of(const PathOffer& offer) {
  return offer.offered ? Colour::kGreen : Colour::kYellow;
}

void add_station(std::string& text, const PathStation& station, std::size_t address_width,
                 std::size_t name_width, bool colour) {
  const bool end = station.kind == Kind::kHere || station.kind == Kind::kUsers;
  const auto address = padded(station.address, address_width);
  auto line = end ? fmt::format("  [*]     {}", coloured(address, Colour::kBold, colour))
                  : fmt::format("   |  {:>2}  {}", station.number, address);
  line += fmt::format("  {}  {}  {}", padded(station.name, name_width),
                      padded(station.rtt, 8, true), station.owner);
  text += without_end_blanks(std::move(line));
  for (const auto& note : station.notes) text += fmt::format("   |        ({})\n", note);
  for (const auto& offer : station.offers)
    text += fmt::format("   |        +-- {}: {}\n",
                        coloured(offer.provider, colour_of(offer), colour), offer.words);
}

// Inside a quoted string; the backslash would begin an escape of a label's own.
std::string dot_text(std::string_view text) {
  std::string quoted;
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
    if (c == '&') quoted += "amp;";  // graphviz reads entities
  }
  return quoted;
}

std::string xml_text(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&apos;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string station_label(const PathStation& station, const char* new_line) {
  std::string label =
      dot_text(station.number.empty() ? station.address : station.number + "  " + station.address);
  for (const auto* part : {&station.name, &station.owner, &station.rtt})
    if (!part->empty() && *part != "-") label += new_line + dot_text(*part);
  return label;
}

std::string_view dot_style(Kind kind) {
  switch (kind) {
    case Kind::kHere:
      return "style=filled, fillcolor=\"#cfe8cf\"";
    case Kind::kSilent:
      return "style=dashed";
    case Kind::kUsers:
      return "shape=ellipse";
    case Kind::kHop:
      break;
  }
  return "style=solid";
}

// A picture that grows line by line.
class Svg {
 public:
  void text(int x, std::string_view words, std::string_view style = "") {
    body_ += fmt::format("<text x=\"{}\" y=\"{}\"{}>{}</text>\n", x, y_ + 4,
                         style.empty() ? "" : fmt::format(" class=\"{}\"", style), xml_text(words));
    widest_ = std::max(widest_, x + static_cast<int>(display_width(std::string(words))) * kCell);
  }
  void dot(Kind kind) {
    const bool end = kind == Kind::kHere || kind == Kind::kUsers;
    body_ += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"{}\" class=\"{}\"/>\n", kLineX, y_,
                         end ? 8 : 5,
                         kind == Kind::kSilent ? "silent"
                         : kind == Kind::kHere ? "here"
                                               : "hop");
  }
  void line(int from, int to, bool known) {
    lines_ += fmt::format("<line x1=\"{0}\" y1=\"{1}\" x2=\"{0}\" y2=\"{2}\"{3}/>\n", kLineX, from,
                          to, known ? "" : " stroke-dasharray=\"4 4\"");
  }
  void branch() {
    lines_ += fmt::format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>\n", kLineX, y_,
                          kTextX + kCell, y_);
  }
  void down(int by) { y_ += by; }
  int y() const { return y_; }
  std::string finish(std::string_view title) const {
    const int width = widest_ + 2 * kCell;
    const int height = y_ + kRow / 2;
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{0}\" height=\"{1}\" "
        "viewBox=\"0 0 {0} {1}\">\n<title>{2}</title>\n"
        "<style>text {{ font: 13px monospace; fill: #222 }} .title {{ font-weight: bold }} "
        ".soft {{ fill: #666 }} .offer {{ fill: #176b17 }} .out {{ fill: #8a5a00 }} "
        "line {{ stroke: #888 }} .hop {{ fill: #4a6fa5 }} .here {{ fill: #2e8b57 }} "
        ".silent {{ fill: #fff; stroke: #888 }}</style>\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{3}{4}</svg>\n",
        width, height, xml_text(title), lines_, body_);
  }

  static constexpr int kCell = 8;  // of a monospaced letter at 13 px, and a little
  static constexpr int kRow = 28;
  static constexpr int kSmallRow = 20;
  static constexpr int kLineX = 24;
  static constexpr int kTextX = 48;

 private:
  std::string lines_;
  std::string body_;
  int y_ = kRow;
  int widest_ = 0;
};

}  // namespace

std::string path_text(const PathView& view, bool colour) {
  const auto drawing = path_drawing(view);
  std::size_t address_width = 0;
  std::size_t name_width = 0;
  for (const auto& station : drawing.stations) {
    address_width = std::max(address_width, display_width(station.address));
    name_width = std::max(name_width, display_width(station.name));
  }
  std::string text = coloured(drawing.title, Colour::kBold, colour) + '\n';
  for (const auto& remark : drawing.remarks) text += remark + '\n';
  text += '\n';
  for (const auto& station : drawing.stations) {
    if (station.kind == Kind::kUsers)
      text += drawing.gap_before_users ? "   :\n   ?\n   :\n" : "   |\n";
    add_station(text, station, address_width, name_width, colour);
    if (station.kind == Kind::kHere) text += "   |\n";
  }
  if (drawing.elsewhere.empty()) return text;
  text += "\nNot on this path:\n";
  for (const auto& offer : drawing.elsewhere)
    text +=
        fmt::format("  {}: {}\n", coloured(offer.provider, colour_of(offer), colour), offer.words);
  return text;
}

std::string path_dot(const PathView& view) {
  constexpr const char* kNewLine = "\\n";
  const auto drawing = path_drawing(view);
  std::string text = fmt::format(
      "digraph \"{0}\" {{\n  rankdir=LR;\n  label=\"{0}\";\n"
      "  node [shape=box, fontname=\"sans-serif\"];\n",
      dot_text(drawing.title));
  int offers = 0;
  const auto add_offer = [&](const PathOffer& offer, const std::string& at) {
    text += fmt::format("  p{} [shape=component, label=\"{}{}{}\"];\n", offers,
                        dot_text(offer.provider), kNewLine, dot_text(offer.words));
    if (!at.empty()) text += fmt::format("  {} -> p{} [style=dashed, dir=none];\n", at, offers);
    ++offers;
  };
  const auto& stations = drawing.stations;
  for (std::size_t i = 0; i < stations.size(); ++i) {
    const auto& station = stations[i];
    std::string label = station_label(station, kNewLine);
    for (const auto& note : station.notes) label += kNewLine + dot_text(note);
    text += fmt::format("  s{} [{}, label=\"{}\"];\n", i, dot_style(station.kind), label);
    if (i > 0)
      text += fmt::format(
          "  s{} -> s{}{};\n", i - 1, i,
          drawing.gap_before_users && i + 1 == stations.size() ? " [style=dotted]" : "");
    // Who takes turns stands beside it, between the same neighbours.
    for (std::size_t n = 0; n < station.beside.size(); ++n) {
      text += fmt::format("  b{0}_{1} [style=dotted, label=\"{2}\"];\n", i, n,
                          dot_text(station.beside[n]));
      text += fmt::format("  s{0} -> b{1}_{2} [style=dotted];\n", i - 1, i, n);
      text += fmt::format("  b{0}_{1} -> s{2} [style=dotted];\n", i, n, i + 1);
    }
    for (const auto& offer : station.offers) add_offer(offer, "s" + std::to_string(i));
  }
  for (const auto& offer : drawing.elsewhere) add_offer(offer, "");
  return text + "}\n";
}

std::string path_svg(const PathView& view) {
  const auto drawing = path_drawing(view);
  Svg svg;
  svg.text(Svg::kCell, drawing.title, "title");
  for (const auto& remark : drawing.remarks) {
    svg.down(Svg::kSmallRow);
    svg.text(Svg::kCell, remark, "soft");
  }
  const auto add_offer = [&svg](const PathOffer& offer, int x) {
    svg.down(Svg::kSmallRow);
    svg.text(x, offer.provider + ": " + offer.words, offer.offered ? "offer" : "out");
  };
  int previous = 0;
  for (const auto& station : drawing.stations) {
    svg.down(Svg::kRow + 4);
    const bool users = station.kind == Kind::kUsers;
    if (previous > 0) svg.line(previous, svg.y(), !users || !drawing.gap_before_users);
    previous = svg.y();
    svg.dot(station.kind);
    std::string words =
        station.number.empty() ? station.address : station.number + "  " + station.address;
    for (const auto* part : {&station.name, &station.owner, &station.rtt})
      if (!part->empty() && *part != "-") words += "   " + *part;
    svg.text(Svg::kTextX, words);
    for (const auto& note : station.notes) {
      svg.down(Svg::kSmallRow);
      svg.text(Svg::kTextX + 2 * Svg::kCell, note, "soft");
    }
    for (const auto& offer : station.offers) {
      add_offer(offer, Svg::kTextX + 2 * Svg::kCell);
      svg.branch();
    }
  }
  if (!drawing.elsewhere.empty()) {
    svg.down(Svg::kRow);
    svg.text(Svg::kCell, "Not on this path:", "soft");
    for (const auto& offer : drawing.elsewhere) add_offer(offer, 2 * Svg::kCell);
  }
  svg.down(Svg::kSmallRow);
  return svg.finish(drawing.title);
}

}  // namespace icon::cli
