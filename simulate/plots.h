// The day as SVG: no script, no font of our own, readable in any browser.
#pragma once

#include <string>
#include <vector>

#include "simulate/simulation.h"

namespace icon::simulate {

struct Plot {
  std::string file;  // "latency.svg"
  std::string svg;
};
// Latency, moves and money over the hours.
std::vector<Plot> plots_of(const Outcome& outcome);

struct Line {
  std::string name;
  std::vector<double> values;  // one per hour
};
// Lines over the hours, from zero; `unit` belongs to the vertical axis.
std::string line_plot(const std::string& title, const std::string& unit,
                      const std::vector<Line>& lines);

}  // namespace icon::simulate
