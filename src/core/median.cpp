#include "orthant/core/median.h"

#include <algorithm>

namespace orthant {

double Quantile(std::vector<double> values, double fraction) {
  if (values.empty()) return 0.0;
  std::sort(values.begin(), values.end());
  const double place = std::clamp(fraction, 0.0, 1.0) * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (values[above] - values[below]) * (place - static_cast<double>(below));
}

double MedianOf(std::vector<double> values) {
  return Quantile(std::move(values), 0.5);
}

}  // namespace orthant
