#include "simulate/plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace icon::simulate {
namespace {

constexpr double kWidth = 720, kHeight = 360;
constexpr double kLeft = 70, kRight = 150, kTop = 40, kBottom = 40;
constexpr std::array kColours{"#0072b2", "#d55e00", "#56b4e9",
                              "#e69f00"};  // told apart by everyone
constexpr int kTicks = 4;

// 1, 2 or 5 times a power of ten, at least `value`.
double rounded_up(double value) {
  if (value <= 0) return 1;
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double factor : {1.0, 2.0, 4.0, 5.0, 10.0})
    if (value <= factor * power * (1 + 1e-9)) return factor * power;
  return 10 * power;
}

double millis(std::int64_t us) { return static_cast<double>(us) / 1000; }
double credits(wire::MicroCredits amount) { return static_cast<double>(amount) / 1e6; }

std::string line_text(double x, double y, const std::string& anchor, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     text);
}

}  // namespace

std::string line_plot(const std::string& title, const std::string& unit,
                      const std::vector<Line>& lines) {
  double most = 0;
  std::size_t count = 1;
  for (const auto& line : lines) {
    count = std::max(count, line.values.size());
    for (const auto value : line.values) most = std::max(most, value);
  }
  most = rounded_up(most);
  const auto x_of = [&](double index) {
    return kLeft + (kWidth - kLeft - kRight) * index / static_cast<double>(count);
  };
  const auto y_of = [&](double value) {
    return kHeight - kBottom - (kHeight - kTop - kBottom) * value / most;
  };
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
      kWidth, kHeight);
  svg += line_text(kLeft, 22, "start", title);
  for (int i = 0; i <= kTicks; ++i) {
    const double value = most * i / kTicks;
    svg += fmt::format("<path d=\"M{:.1f} {:.1f}H{:.1f}\" stroke=\"#ddd\"/>\n", kLeft, y_of(value),
                       kWidth - kRight);
    svg += line_text(kLeft - 6, y_of(value) + 4, "end", fmt::format("{:g} {}", value, unit));
  }
  const auto step = std::max<std::size_t>(1, count / 8);
  for (std::size_t i = 0; i <= count; i += step)
    svg += line_text(x_of(static_cast<double>(i)), kHeight - kBottom + 18, "middle",
                     fmt::format("{} h", i));
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto* colour = kColours[i % kColours.size()];
    std::string path;
    for (std::size_t hour = 0; hour < lines[i].values.size(); ++hour)
      path += fmt::format("{}{:.1f} {:.1f}H{:.1f}", hour == 0 ? "M" : "L",
                          x_of(static_cast<double>(hour)), y_of(lines[i].values[hour]),
                          x_of(static_cast<double>(hour + 1)));
    svg += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n", path,
                       colour);
    const double y = kTop + 20 * static_cast<double>(i);
    svg += fmt::format("<path d=\"M{0:.1f} {1:.1f}h18\" stroke=\"{2}\" stroke-width=\"2\"/>\n",
                       kWidth - kRight + 10, y, colour);
    svg += line_text(kWidth - kRight + 34, y + 4, "start", lines[i].name);
  }
  return svg + "</svg>\n";
}

std::vector<Plot> plots_of(const Outcome& outcome) {
  std::vector<Line> latency{
      {"origin p50", {}}, {"origin p95", {}}, {"ICON p50", {}}, {"ICON p95", {}}};
  std::vector<Line> money{{"worth, origin", {}}, {"worth, ICON", {}}, {"paid", {}}};
  std::vector<Line> moves{{"moves", {}}};
  wire::MicroCredits before = 0;
  for (const auto& hour : outcome.by_hour) {
    latency[0].values.push_back(millis(hour.origin.percentile_us(50)));
    latency[1].values.push_back(millis(hour.origin.percentile_us(95)));
    latency[2].values.push_back(millis(hour.icon.percentile_us(50)));
    latency[3].values.push_back(millis(hour.icon.percentile_us(95)));
    money[0].values.push_back(credits(hour.origin_worth));
    money[1].values.push_back(credits(hour.worth));
    money[2].values.push_back(credits(std::max<wire::MicroCredits>(0, hour.spent - before)));
    before = hour.spent;
    moves[0].values.push_back(static_cast<double>(hour.moves));
  }
  return {{"latency.svg", line_plot("Users' round-trip time", "ms", latency)},
          {"money.svg", line_plot("Worth and payments by the hour", "cr", money)},
          {"moves.svg", line_plot("Moves by the hour", "", moves)}};
}

}  // namespace icon::simulate
