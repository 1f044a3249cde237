#include "orthant/plan/prediction_quality.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "orthant/core/median.h"

namespace orthant {
namespace {

double MeanOf(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::vector<double> RanksOf(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t i = begin; i < end; ++i) ranks[order[i]] = static_cast<double>(begin + end - 1) / 2;
  }
  return ranks;
}

// Pearson's; 1 where either is constant.
double Correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const double mean_a = MeanOf(a), mean_b = MeanOf(b);
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 1;
}

}  // namespace

PredictionQuality QualityOf(const std::vector<double>& predicted, const std::vector<double>& measured) {
  if (predicted.empty()) return {};
  std::vector<double> errors, sizes;
  for (size_t i = 0; i < predicted.size(); ++i) {
    errors.push_back(predicted[i] / measured[i] - 1);
    sizes.push_back(std::abs(errors.back()));
  }
  const auto choice = std::min_element(predicted.begin(), predicted.end()) - predicted.begin();
  return {MeanOf(sizes), MedianOf(sizes), MedianOf(errors),
          Correlation(RanksOf(predicted), RanksOf(measured)),
          measured[static_cast<size_t>(choice)] / *std::min_element(measured.begin(), measured.end()) - 1};
}

}  // namespace orthant
