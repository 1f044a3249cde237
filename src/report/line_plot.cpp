#include "orthant/report/line_plot.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "absl/strings/str_cat.h"
#include "orthant/report/markup.h"
#include "orthant/report/svg.h"

namespace orthant {
namespace {

constexpr double kLeft = 62, kFileLeft = 82, kRight = 14, kTop = 10, kBottom = 40;
constexpr double kTitleHeight = 26, kLegendHeight = 18;
constexpr int kColumns = 380;      // about the width of the area
constexpr size_t kFewPoints = 40;  // so few are marked

double LowestX(const LinePlot& plot) {
  double low = std::numeric_limits<double>::infinity();
  for (const Series& s : plot.series) low = s.x.empty() ? low : std::min(low, s.x.front());
  return std::isfinite(low) ? low : 0;
}

double HighestX(const LinePlot& plot) {
  double high = -std::numeric_limits<double>::infinity();
  for (const Series& s : plot.series) high = s.x.empty() ? high : std::max(high, s.x.back());
  return std::isfinite(high) ? high : 1;
}

bool AllAboveZero(const LinePlot& plot) {
  bool any = false;
  for (const Series& s : plot.series) {
    for (const double y : s.y) {
      if (std::isfinite(y) && y <= 0) return false;
      any = any || std::isfinite(y);
    }
  }
  return any;
}

std::vector<const std::vector<double>*> Values(const LinePlot& plot) {
  std::vector<const std::vector<double>*> values;
  for (const Series& s : plot.series) values.push_back(&s.y);
  return values;
}

// One drawing of a plot with one scale.
class Drawing {
 public:
  Drawing(const LinePlot& plot, const PlotArea& area, bool logarithmic, bool labelled, Svg* svg)
      : plot_(plot),
        area_(area),
        log_(logarithmic),
        labelled_(labelled),
        svg_(*svg),
        range_(RangeOf(Values(plot), plot.from_zero, logarithmic)) {}

  void Draw() {
    Axes();
    for (const Series& series : plot_.series) Line(series);
  }

 private:
  double X(double x) const {
    return area_.left + (x - area_.x_low) / (area_.x_high - area_.x_low) * (area_.right - area_.left);
  }
  double Y(double y) const {
    const double share = log_ ? std::log(y / range_.low) / std::log(range_.high / range_.low)
                              : (y - range_.low) / (range_.high - range_.low);
    return area_.bottom - share * (area_.bottom - area_.top);
  }

  // Few values stand on the axis themselves, as 1, 2, 4, 8 ranks, as far as there is room.
  std::vector<double> TicksOfX() const {
    constexpr size_t kFew = 8;
    constexpr double kRoom = 24;  // picture units of a label
    std::set<double> values;
    for (const Series& series : plot_.series) {
      for (const double x : series.x) {
        values.insert(x);
        if (values.size() > kFew) return RoundTicks(area_.x_low, area_.x_high, 6);
      }
    }
    std::vector<double> ticks;
    for (auto value = values.rbegin(); value != values.rend(); ++value) {
      if (ticks.empty() || X(ticks.back()) - X(*value) >= kRoom) ticks.push_back(*value);
    }
    return ticks;
  }

  void Axes() {
    const std::vector<double> ticks =
        log_ ? LogTicks(range_.low, range_.high, 6) : RoundTicks(range_.low, range_.high, 6, plot_.quantity);
    for (const double tick : ticks) {
      svg_.Line(area_.left, Y(tick), area_.right, Y(tick), "grid");
      svg_.Text(area_.left - 6, Y(tick) + 4, Show(tick, plot_.quantity), "tick", "end");
    }
    for (const double tick : TicksOfX()) {
      svg_.Line(X(tick), area_.bottom, X(tick), area_.bottom + 4, "axis");
      svg_.Text(X(tick), area_.bottom + 16, Show(tick, Quantity::kCount), "tick", "middle");
    }
    svg_.Line(area_.left, area_.bottom, area_.right, area_.bottom, "axis");
    svg_.Text((area_.left + area_.right) / 2, area_.bottom + 33, plot_.x_label, "label", "middle");
    if (labelled_ && !plot_.y_label.empty())
      svg_.TurnedText(13, (area_.top + area_.bottom) / 2, plot_.y_label, "label");
  }

  void Line(const Series& series) {
    std::string path;
    bool down = false;  // the pen
    const std::vector<size_t> points = PointsToDraw(series.x, series.y, kColumns);
    for (const size_t i : points) {
      const double y = series.y[i];
      if (!std::isfinite(y) || (log_ && y <= 0)) {
        down = false;
        continue;
      }
      absl::StrAppend(&path, down ? "L" : "M", SvgNumber(X(series.x[i])), " ", SvgNumber(Y(y)));
      down = true;
    }
    if (path.empty()) return;
    svg_.Open(absl::StrCat("run run", series.colour));
    svg_.Path(path, LineClass(series.colour));
    if (series.x.size() <= kFewPoints) {
      for (const size_t i : points) {
        if (std::isfinite(series.y[i]) && (!log_ || series.y[i] > 0))
          svg_.Circle(X(series.x[i]), Y(series.y[i]), 2.6, DotClass(series.colour));
      }
    }
    svg_.Close();
  }

  const LinePlot& plot_;
  const PlotArea& area_;
  bool log_, labelled_;  // labelled: the page says what y is beside the title
  Svg& svg_;
  Range range_;
};

}  // namespace

PlotArea AreaOf(const LinePlot& plot, bool file) {
  PlotArea area;
  area.left = file && !plot.y_label.empty() ? kFileLeft : kLeft;
  area.right = kPlotWidth - kRight;
  area.top = kTop + (file ? kTitleHeight : 0);
  area.bottom = kPlotHeight - kBottom + (file ? kTitleHeight : 0);
  area.x_low = LowestX(plot);
  area.x_high = std::max(HighestX(plot), area.x_low + 1);
  return area;
}

std::string DrawInline(const LinePlot& plot) {
  const PlotArea area = AreaOf(plot, /*file=*/false);
  Svg svg(kPlotWidth, kPlotHeight, absl::StrCat(plot.title, ": ", InWords(plot)));
  svg.Open("linear");
  Drawing(plot, area, /*logarithmic=*/false, /*labelled=*/false, &svg).Draw();
  svg.Close();
  if (AllAboveZero(plot)) {
    svg.Open("log");
    Drawing(plot, area, /*logarithmic=*/true, /*labelled=*/false, &svg).Draw();
    svg.Close();
  }
  svg.Line(area.left, area.top, area.left, area.bottom, "cursor");
  return svg.Inline();
}

std::string DrawFile(const LinePlot& plot) {
  const PlotArea area = AreaOf(plot, /*file=*/true);
  const bool legend = plot.series.size() > 1;
  const double lines = legend ? static_cast<double>(plot.series.size()) : 0;
  const double height = kPlotHeight + kTitleHeight + kLegendHeight * lines;
  Svg svg(kPlotWidth, height, absl::StrCat(plot.title, ": ", InWords(plot)));
  svg.Text(area.left, 22, plot.title, "title");
  Drawing(plot, area, /*logarithmic=*/false, /*labelled=*/true, &svg).Draw();
  for (size_t i = 0; legend && i < plot.series.size(); ++i) {
    const double y = kPlotHeight + kTitleHeight + 8 + kLegendHeight * static_cast<double>(i);
    svg.Path(absl::StrCat("M", SvgNumber(area.left), " ", SvgNumber(y), "h26"),
             LineClass(plot.series[i].colour));
    svg.Text(area.left + 34, y + 4, plot.series[i].name, "label");
  }
  return svg.File();
}

std::vector<size_t> PointsToDraw(const std::vector<double>& x, const std::vector<double>& y, int columns) {
  std::vector<size_t> kept;
  const size_t n = std::min(x.size(), y.size());
  if (n == 0) return kept;
  const double width = (x[n - 1] - x[0]) / std::max(1, columns);
  for (size_t begin = 0; begin < n;) {
    size_t end = begin + 1;
    const double column = width > 0 ? std::floor((x[begin] - x[0]) / width) : 0;
    while (end < n && width > 0 && std::floor((x[end] - x[0]) / width) == column) ++end;
    std::vector<size_t> chosen = {begin, end - 1};
    size_t least = n, greatest = n, gap = n;
    for (size_t i = begin; i < end; ++i) {
      if (!std::isfinite(y[i])) {
        gap = gap == n ? i : gap;
        continue;
      }
      if (least == n || y[i] < y[least]) least = i;
      if (greatest == n || y[i] > y[greatest]) greatest = i;
    }
    for (const size_t i : {least, greatest, gap}) {
      if (i != n) chosen.push_back(i);
    }
    std::sort(chosen.begin(), chosen.end());
    chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
    kept.insert(kept.end(), chosen.begin(), chosen.end());
    begin = end;
  }
  return kept;
}

std::string InWords(const LinePlot& plot) {
  std::string text;
  for (const Series& series : plot.series) {
    size_t first = series.y.size(), last = first, least = first, greatest = first;
    for (size_t i = 0; i < series.y.size(); ++i) {
      if (!std::isfinite(series.y[i])) continue;
      if (first == series.y.size()) first = least = greatest = i;
      last = i;
      if (series.y[i] < series.y[least]) least = i;
      if (series.y[i] > series.y[greatest]) greatest = i;
    }
    const std::string name = plot.series.size() > 1 ? absl::StrCat(series.name, ": ") : "";
    if (first == series.y.size()) {
      absl::StrAppend(&text, name, "no values. ");
      continue;
    }
    const auto at = [&](size_t i) {
      return absl::StrCat(Show(series.y[i], plot.quantity), " at ", plot.x_label, " ",
                          Show(series.x[i], Quantity::kNumber));
    };
    absl::StrAppend(&text, name, "from ", at(first), " to ", at(last), "; lowest ", at(least), ", highest ",
                    at(greatest), ". ");
  }
  if (!text.empty()) text.pop_back();
  return text;
}

}  // namespace orthant
