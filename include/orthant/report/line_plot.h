// Line plots: curves of several runs over a common axis.
#pragma once

#include <string>
#include <vector>

#include "orthant/report/scale.h"

namespace orthant {

struct Series {
  std::string name;
  std::vector<double> x, y;  // as many; x ascending; y may be NaN, where the line is broken
  int colour = 0;            // a look: 0 .. kLooks - 1, or kIdeal
};

struct LinePlot {
  std::string title;                      // "Loss"
  std::string x_label;                    // "step"
  std::string y_label;                    // "nats"; may be empty
  Quantity quantity = Quantity::kNumber;  // of y
  bool from_zero = false;                 // the axis begins at 0 when no value is below
  std::vector<Series> series;
};

// Where a plot's area lies within its picture, and what it spans: for pointers.
struct PlotArea {
  double left = 0, right = 0, top = 0, bottom = 0;  // picture units
  double x_low = 0, x_high = 1;                     // data
};

// The width and height that plots are drawn in.
inline constexpr double kPlotWidth = 460, kPlotHeight = 280;

PlotArea AreaOf(const LinePlot& plot, bool file);
// For a page: both scales where all values are above 0, as groups of the classes `linear` and `log`.
std::string DrawInline(const LinePlot& plot);
// An SVG file's text, with title and legend; linear.
std::string DrawFile(const LinePlot& plot);

// The points of a line that `columns` columns can show: of each column the first, the least, the greatest and
// the last. NaNs stay, once in a row. -> indices, ascending.
std::vector<size_t> PointsToDraw(const std::vector<double>& x, const std::vector<double>& y, int columns);

// What there is to see, in a sentence a series: for who cannot see it.
std::string InWords(const LinePlot& plot);

}  // namespace orthant
