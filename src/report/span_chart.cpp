#include "orthant/report/span_chart.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "orthant/core/terminal.h"
#include "orthant/report/scale.h"
#include "orthant/report/svg.h"

namespace orthant {
namespace {

constexpr double kWidth = 940, kRowHeight = 26, kRowStride = 30, kBottom = 40, kTitleHeight = 26;
constexpr double kLetter = 6.6;

double LastEnd(const SpanChart& chart) {
  double last = chart.seconds;
  for (const Span& span : chart.spans) last = chart.seconds > 0 ? last : std::max(last, span.end);
  return last > 0 ? last : 1;
}

void Draw(const SpanChart& chart, double top, Svg* svg) {
  double left = 40;
  for (const std::string& row : chart.rows) left = std::max(left, kLetter * DisplayWidth(row) + 14);
  const double right = kWidth - 16, bottom = top + kRowStride * static_cast<double>(chart.rows.size());
  const double last = LastEnd(chart);
  const auto x = [&](double seconds) { return left + std::min(seconds, last) / last * (right - left); };
  for (const double tick : RoundTicks(0, last, 8)) {
    svg->Line(x(tick), top, x(tick), bottom, "grid");
    svg->Text(x(tick), bottom + 16, Show(tick, Quantity::kSeconds), "tick", "middle");
  }
  for (size_t row = 0; row < chart.rows.size(); ++row) {
    const double y = top + kRowStride * static_cast<double>(row);
    svg->Text(left - 6, y + kRowHeight / 2 + 5, chart.rows[row], "tick", "end");
    svg->Rect(left, y + 2, right - left, kRowHeight, "lane");
  }
  for (const Span& span : chart.spans) {
    const double y = top + 2 + kRowStride * span.row;
    const double width = std::max(x(span.end) - x(span.begin), 0.6);
    svg->Rect(x(span.begin), y, width, kRowHeight, absl::StrCat("span ", span.kind), span.tooltip);
    if (width > kLetter * DisplayWidth(span.text) + 4)
      svg->Text(x(span.begin) + width / 2, y + kRowHeight / 2 + 4, span.text, "inside", "middle");
  }
  svg->Line(left, bottom, right, bottom, "axis");
}

std::string Words(const SpanChart& chart) {
  return absl::StrCat(chart.title, ": ", chart.spans.size(), " actions on ", chart.rows.size(), " rows, ",
                      Show(LastEnd(chart), Quantity::kSeconds));
}

double Height(const SpanChart& chart) {
  return kRowStride * static_cast<double>(chart.rows.size()) + kBottom;
}

}  // namespace

std::string DrawInline(const SpanChart& chart) {
  Svg svg(kWidth, Height(chart) - 14, Words(chart));
  Draw(chart, 2, &svg);
  return svg.Inline();
}

std::string DrawFile(const SpanChart& chart) {
  Svg svg(kWidth, Height(chart) + kTitleHeight, Words(chart));
  svg.Text(14, 22, chart.title, "title");
  Draw(chart, kTitleHeight + 8, &svg);
  return svg.File();
}

}  // namespace orthant
