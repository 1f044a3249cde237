#include "orthant/report/bars.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "orthant/core/terminal.h"
#include "orthant/report/line_plot.h"
#include "orthant/report/svg.h"

namespace orthant {
namespace {

constexpr double kBarHeight = 16, kBarStride = 24, kTotalWidth = 66, kBottom = 24, kTitleHeight = 26,
                 kLegendStride = 18;
constexpr double kLetter = 7.2;  // width of a character of a bar's name
constexpr double kMostName = 150;

double Total(const Bar& bar) {
  double total = 0;
  for (const double part : bar.parts) total += std::isfinite(part) ? part : 0;
  return total;
}

std::string Words(const BarChart& chart) {
  std::string text = absl::StrCat(chart.title, ": ");
  for (const Bar& bar : chart.bars)
    absl::StrAppend(&text, bar.name, " ", Show(Total(bar), chart.quantity), "; ");
  text.resize(text.size() - 2);
  if (chart.limit > 0) absl::StrAppend(&text, "; limit ", Show(chart.limit, chart.quantity));
  return text;
}

double NameWidth(const BarChart& chart) {
  double width = 30;
  for (const Bar& bar : chart.bars) width = std::max(width, kLetter * DisplayWidth(bar.name) + 10);
  return std::min(width, kMostName);
}

// The bars below `top`; -> where they end.
double DrawBars(const BarChart& chart, double top, Svg* svg) {
  double most = chart.limit;
  for (const Bar& bar : chart.bars) most = std::max(most, Total(bar));
  if (most <= 0) most = 1;
  const double left = NameWidth(chart), right = kPlotWidth - kTotalWidth;
  const double bottom = top + kBarStride * static_cast<double>(chart.bars.size());
  const auto x = [&](double value) { return left + value / most * (right - left); };
  for (const double tick : RoundTicks(0, most, 4, chart.quantity)) {
    svg->Line(x(tick), top - 2, x(tick), bottom, "grid");
    svg->Text(x(tick), bottom + 14, Show(tick, chart.quantity), "tick", "middle");
  }
  for (size_t b = 0; b < chart.bars.size(); ++b) {
    const Bar& bar = chart.bars[b];
    const double y = top + kBarStride * static_cast<double>(b) + (kBarStride - kBarHeight) / 2;
    svg->Text(left - 6, y + kBarHeight - 4, bar.name, "tick", "end");
    double before = 0;
    for (size_t p = 0; p < bar.parts.size(); ++p) {
      if (!(bar.parts[p] > 0)) continue;
      const std::string part = p < chart.parts.size() ? chart.parts[p] : "";
      svg->Rect(
          x(before), y, x(before + bar.parts[p]) - x(before), kBarHeight, absl::StrCat("bar f", p % 8),
          absl::StrCat(bar.name, part.empty() ? "" : ", ", part, ": ", Show(bar.parts[p], chart.quantity)));
      before += bar.parts[p];
    }
    const std::string value = Show(Total(bar), chart.quantity);
    double at = x(before) + 5;
    // Behind the limit's line rather than under it.
    if (at <= x(chart.limit) && at + kLetter * DisplayWidth(value) >= x(chart.limit)) at = x(chart.limit) + 5;
    svg->Text(at, y + kBarHeight - 4, value, "value");
  }
  svg->Line(left, top - 2, left, bottom, "axis");
  if (chart.limit > 0) svg->Line(x(chart.limit), top - 4, x(chart.limit), bottom, "limit");
  return bottom;
}

double BarsHeight(const BarChart& chart) {
  return kBarStride * static_cast<double>(chart.bars.size()) + kBottom;
}

}  // namespace

std::string DrawInline(const BarChart& chart) {
  Svg svg(kPlotWidth, BarsHeight(chart) + 4, Words(chart));
  DrawBars(chart, 4, &svg);
  return svg.Inline();
}

std::string DrawFile(const BarChart& chart) {
  const bool legend = chart.parts.size() > 1;
  const double legend_height = legend ? kLegendStride * static_cast<double>(chart.parts.size()) + 6 : 0;
  Svg svg(kPlotWidth, kTitleHeight + 10 + BarsHeight(chart) + legend_height, Words(chart));
  svg.Text(14, 22, chart.title, "title");
  const double end = DrawBars(chart, kTitleHeight + 10, &svg) + kBottom;
  for (size_t p = 0; legend && p < chart.parts.size(); ++p) {
    const double y = end + kLegendStride * static_cast<double>(p);
    svg.Rect(NameWidth(chart), y, 12, 12, absl::StrCat("bar f", p % 8));
    svg.Text(NameWidth(chart) + 20, y + 10, chart.parts[p], "label");
  }
  return svg.File();
}

}  // namespace orthant
