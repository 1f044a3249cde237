#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "orthant/core/terminal.h"
#include "orthant/report/scale.h"
#include "orthant/report/watch.h"

namespace orthant {
namespace {

using Points = std::vector<std::pair<double, double>>;

constexpr int kMargin = 10;  // of the numbers at the left

Points Finite(const Points& points) {
  Points finite;
  std::copy_if(points.begin(), points.end(), std::back_inserter(finite),
               [](const auto& p) { return std::isfinite(p.second); });
  return finite;
}

struct Box {
  double x_low = std::numeric_limits<double>::infinity(), x_high = -x_low, y_low = x_low, y_high = -x_low;
  void Hold(const Points& points) {
    for (const auto& [x, y] : points) {
      x_low = std::min(x_low, x);
      x_high = std::max(x_high, x);
      y_low = std::min(y_low, y);
      y_high = std::max(y_high, y);
    }
  }
};

// Dots two wide and four high in each character, as braille has them (Unicode block 2800).
class Canvas {
 public:
  Canvas(int columns, int rows, const Box& box)
      : columns_(columns),
        rows_(rows),
        box_(box),
        dots_(static_cast<size_t>(columns * rows), 0),
        marks_(static_cast<size_t>(columns * rows), false) {}

  void Join(const std::pair<double, double>& from, const std::pair<double, double>& to) {
    const double x1 = X(from.first), y1 = Y(from.second), x2 = X(to.first), y2 = Y(to.second);
    const int pieces =
        std::max(1, static_cast<int>(std::ceil(std::max(std::fabs(x2 - x1), std::fabs(y2 - y1)))));
    for (int i = 0; i <= pieces; ++i) {
      const double t = static_cast<double>(i) / pieces;
      Dot(static_cast<int>(std::lround(x1 + t * (x2 - x1))),
          static_cast<int>(std::lround(y1 + t * (y2 - y1))));
    }
  }
  void Mark(const std::pair<double, double>& point) {
    const int column = static_cast<int>(std::lround(X(point.first))) / 2,
              row = static_cast<int>(std::lround(Y(point.second))) / 4;
    marks_[At(column, row)] = true;
  }
  std::string Row(int row, bool utf8) const {
    std::string text;
    for (int column = 0; column < columns_; ++column) {
      const int dots = dots_[At(column, row)];
      if (marks_[At(column, row)]) {
        text += "o";
      } else if (dots == 0) {
        text += " ";
      } else if (!utf8) {
        text += ".";
      } else {
        const int code = 0x2800 + dots;  // three bytes of UTF-8
        text += static_cast<char>(0xe0 | (code >> 12));
        text += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
        text += static_cast<char>(0x80 | (code & 0x3f));
      }
    }
    text.resize(text.find_last_not_of(' ') + 1);
    return text;
  }

 private:
  size_t At(int column, int row) const { return static_cast<size_t>(row * columns_ + column); }
  double X(double x) const { return (x - box_.x_low) / (box_.x_high - box_.x_low) * (2 * columns_ - 1); }
  double Y(double y) const { return (box_.y_high - y) / (box_.y_high - box_.y_low) * (4 * rows_ - 1); }
  void Dot(int x, int y) {
    static constexpr int kBits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    dots_[At(x / 2, y / 4)] |= kBits[y % 4][x % 2];
  }

  int columns_, rows_;
  Box box_;
  std::vector<int> dots_;
  std::vector<bool> marks_;
};

}  // namespace

std::string TextPlot(const Points& all, const Points& all_marks, int width, int height, bool utf8) {
  const Points line = Finite(all), marks = Finite(all_marks);
  if (line.size() < 2) return "";
  Box box;
  box.Hold(line);
  box.Hold(marks);
  if (!(box.y_high > box.y_low)) {  // a flat line lies in the middle
    const double margin = std::max(0.5 * std::fabs(box.y_low), 1e-6);
    box.y_low -= margin;
    box.y_high += margin;
  }
  const int columns = std::max(8, width - kMargin - 2), rows = std::max(3, height - 2);
  Canvas canvas(columns, rows, box);
  for (size_t i = 0; i + 1 < line.size(); ++i) canvas.Join(line[i], line[i + 1]);
  for (const auto& mark : marks) canvas.Mark(mark);
  std::string text;
  for (int row = 0; row < rows; ++row) {
    const bool labelled = row == 0 || row == rows - 1 || row == rows / 2;
    const double value = box.y_high - (box.y_high - box.y_low) * row / (rows - 1);
    const std::string label = labelled ? Show(value, Quantity::kNumber) : "";
    absl::StrAppendFormat(&text, "%*s |%s\n", kMargin - 1, label, canvas.Row(row, utf8));
  }
  const std::string first = Show(box.x_low, Quantity::kNumber), last = Show(box.x_high, Quantity::kNumber);
  const int between = std::max(1, columns - DisplayWidth(first) - DisplayWidth(last));
  absl::StrAppend(&text, std::string(kMargin, ' '), "+", std::string(static_cast<size_t>(columns), '-'), "\n",
                  std::string(kMargin + 1, ' '), first, std::string(static_cast<size_t>(between), ' '), last,
                  "\n");
  if (!marks.empty())
    absl::StrAppend(&text, std::string(kMargin + 1, ' '), "loss of each step; o validation loss\n");
  return text;
}

}  // namespace orthant
