// Scatter plots with the front of the points that no other beats in both respects (Pareto).
#pragma once

#include <string>
#include <vector>

#include "orthant/report/scale.h"

namespace orthant {

struct ScatterPoint {
  double x = 0, y = 0;
  std::string name;  // for the tooltip
  int colour = 0;    // a look: 0 .. kLooks - 1
};

struct ScatterPlot {
  std::string title, x_label, y_label;
  Quantity x_quantity = Quantity::kNumber, y_quantity = Quantity::kNumber;
  bool less_x_is_better = true, less_y_is_better = true;
  bool front = true;      // the Pareto front is drawn
  bool diagonal = false;  // both axes have one range, and y = x is drawn: for predicted and measured
  double x_limit = 0;     // a line across the area, "limit"; 0: none
  std::vector<ScatterPoint> points;
};

// Indices of the points on the front, by ascending x: no other is at least as good in both and better in one.
// Of points alike the first. Points that are not finite are on none.
std::vector<size_t> ParetoFront(const ScatterPlot& plot);

std::string DrawInline(const ScatterPlot& plot);
std::string DrawFile(const ScatterPlot& plot);  // with title

}  // namespace orthant
