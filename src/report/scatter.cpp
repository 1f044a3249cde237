#include "orthant/report/scatter.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "orthant/report/line_plot.h"
#include "orthant/report/markup.h"
#include "orthant/report/svg.h"

namespace orthant {
namespace {

constexpr double kLeft = 62, kRight = 14, kTop = 10, kBottom = 40, kTitleHeight = 26;

void Draw(const ScatterPlot& plot, double shift, Svg* svg) {
  std::vector<double> xs, ys;
  for (const ScatterPoint& point : plot.points) {
    xs.push_back(point.x);
    ys.push_back(point.y);
  }
  if (plot.x_limit > 0) xs.push_back(plot.x_limit);
  Range across = RangeOf({&xs}, false, false), up = RangeOf({&ys}, false, false);
  if (plot.diagonal) across = up = RangeOf({&xs, &ys}, true, false);
  const double left = kLeft, right = kPlotWidth - kRight, top = kTop + shift,
               bottom = kPlotHeight - kBottom + shift;
  const auto x = [&](double v) {
    return left + (v - across.low) / (across.high - across.low) * (right - left);
  };
  const auto y = [&](double v) { return bottom - (v - up.low) / (up.high - up.low) * (bottom - top); };
  for (const double tick : RoundTicks(up.low, up.high, 6, plot.y_quantity)) {
    svg->Line(left, y(tick), right, y(tick), "grid");
    svg->Text(left - 6, y(tick) + 4, Show(tick, plot.y_quantity), "tick", "end");
  }
  for (const double tick : RoundTicks(across.low, across.high, 5, plot.x_quantity)) {
    svg->Line(x(tick), bottom, x(tick), bottom + 4, "axis");
    svg->Text(x(tick), bottom + 16, Show(tick, plot.x_quantity), "tick", "middle");
  }
  svg->Line(left, bottom, right, bottom, "axis");
  svg->Text((left + right) / 2, bottom + 33, plot.x_label, "label", "middle");
  if (!plot.y_label.empty()) svg->TurnedText(13, (top + bottom) / 2, plot.y_label, "label");
  if (plot.diagonal) svg->Line(x(across.low), y(up.low), x(across.high), y(up.high), "axis");
  if (plot.x_limit > 0) {
    svg->Line(x(plot.x_limit), top, x(plot.x_limit), bottom, "limit");
    svg->Text(x(plot.x_limit) - 4, top + 10, "limit", "tick", "end");
  }
  std::string front;
  for (const size_t i : plot.front ? ParetoFront(plot) : std::vector<size_t>()) {
    const ScatterPoint& point = plot.points[i];
    absl::StrAppend(&front, front.empty() ? "M" : "L", SvgNumber(x(point.x)), " ", SvgNumber(y(point.y)));
  }
  if (!front.empty()) svg->Path(front, "line front");
  for (const ScatterPoint& point : plot.points) {
    if (!std::isfinite(point.x) || !std::isfinite(point.y)) continue;
    svg->Circle(
        x(point.x), y(point.y), 4, DotClass(point.colour),
        absl::StrCat(point.name, ": ", Show(point.x, plot.x_quantity), ", ", Show(point.y, plot.y_quantity)));
  }
}

std::string Words(const ScatterPlot& plot) {
  std::string text = absl::StrCat(plot.title, ": ", plot.points.size(), " points");
  if (!plot.front) return text;
  text += "; best: ";
  const std::vector<size_t> front = ParetoFront(plot);
  for (size_t i = 0; i < front.size(); ++i)
    absl::StrAppend(&text, i > 0 ? ", " : "", plot.points[front[i]].name);
  return text;
}

}  // namespace

std::vector<size_t> ParetoFront(const ScatterPlot& plot) {
  const double sx = plot.less_x_is_better ? 1 : -1, sy = plot.less_y_is_better ? 1 : -1;
  std::vector<size_t> order;
  for (size_t i = 0; i < plot.points.size(); ++i) {
    if (std::isfinite(plot.points[i].x) && std::isfinite(plot.points[i].y)) order.push_back(i);
  }
  const auto& points = plot.points;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (points[a].x != points[b].x) return sx * points[a].x < sx * points[b].x;
    return sy * points[a].y < sy * points[b].y;
  });
  std::vector<size_t> front;
  double best = std::numeric_limits<double>::infinity();
  for (const size_t i : order) {
    if (!(sy * points[i].y < best)) continue;
    best = sy * points[i].y;
    front.push_back(i);
  }
  if (sx < 0) std::reverse(front.begin(), front.end());
  return front;
}

std::string DrawInline(const ScatterPlot& plot) {
  Svg svg(kPlotWidth, kPlotHeight, Words(plot));
  Draw(plot, 0, &svg);
  return svg.Inline();
}

std::string DrawFile(const ScatterPlot& plot) {
  Svg svg(kPlotWidth, kPlotHeight + kTitleHeight, Words(plot));
  svg.Text(kLeft, 22, plot.title, "title");
  Draw(plot, kTitleHeight, &svg);
  return svg.File();
}

}  // namespace orthant
