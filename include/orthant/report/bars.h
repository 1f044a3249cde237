// Bar charts, with one part a bar or several stacked: memory by category, communication by axis.
#pragma once

#include <string>
#include <vector>

#include "orthant/report/scale.h"

namespace orthant {

struct Bar {
  std::string name;
  std::vector<double> parts;  // one for each of BarChart::parts, none below 0
};

// Bars lie, so that names have room on a phone. A part's colour is its index.
struct BarChart {
  std::string title;
  Quantity quantity = Quantity::kBytes;
  std::vector<std::string> parts;
  std::vector<Bar> bars;
  double limit = 0;  // a line down the bars, which they should not pass; 0: none
};

std::string DrawInline(const BarChart& chart);
std::string DrawFile(const BarChart& chart);  // with title and legend

}  // namespace orthant
