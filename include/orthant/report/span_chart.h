// Span charts: what each row did from when to when, as a pipeline's timeline.
#pragma once

#include <string>
#include <vector>

namespace orthant {

struct Span {
  int row = 0;
  double begin = 0, end = 0;  // seconds
  std::string text;           // inside the box, where it fits
  std::string tooltip;
  std::string kind;  // class: "forward", "backward", "backward-input", "backward-weight", "other"
};

struct SpanChart {
  std::string title;
  std::vector<std::string> rows;
  std::vector<Span> spans;
  double seconds = 0;  // of the axis; 0: up to the last end
};

std::string DrawInline(const SpanChart& chart);
std::string DrawFile(const SpanChart& chart);  // with title

}  // namespace orthant
