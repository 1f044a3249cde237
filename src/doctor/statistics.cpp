#include "orthant/doctor/statistics.h"

#include <algorithm>
#include <cmath>

namespace orthant::doctor {

double LowMedian(std::vector<double> values) {
  if (values.empty()) return 0.0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double RobustSigma(const std::vector<double>& values) {
  const double middle = LowMedian(values);
  std::vector<double> distances;
  for (const double value : values) distances.push_back(std::abs(value - middle));
  return 1.4826 * LowMedian(std::move(distances));
}

double OddLimit(const std::vector<double>& costs, const OddRule& rule) {
  const double typical = LowMedian(costs);
  return std::max({typical * rule.factor, typical + rule.sigmas * RobustSigma(costs), typical + rule.floor});
}

std::vector<size_t> OddOnes(const std::vector<double>& costs, const OddRule& rule) {
  std::vector<size_t> odd;
  if (costs.size() < 3) return odd;
  const double limit = OddLimit(costs, rule);
  for (size_t i = 0; i < costs.size(); ++i) {
    if (costs[i] > limit) odd.push_back(i);
  }
  std::stable_sort(odd.begin(), odd.end(), [&](size_t a, size_t b) { return costs[a] > costs[b]; });
  return odd;
}

}  // namespace orthant::doctor
