#include "orthant/core/step_median.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "orthant/core/median.h"

namespace orthant {

int64_t WarmUpSteps(int64_t steps) {
  return steps < 2 ? 0 : std::clamp<int64_t>(steps / 5, 1, 10);
}

double MedianAfterWarmUp(const std::vector<double>& steps) {
  const auto first = static_cast<size_t>(WarmUpSteps(static_cast<int64_t>(steps.size())));
  std::vector<double> values;
  for (size_t i = first; i < steps.size(); ++i) {
    if (std::isfinite(steps[i])) values.push_back(steps[i]);
  }
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  return MedianOf(std::move(values));
}

}  // namespace orthant
