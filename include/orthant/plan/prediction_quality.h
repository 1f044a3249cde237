// How well predictions agree with what was measured. Pure.
#pragma once

#include <vector>

namespace orthant {

struct PredictionQuality {
  double mean = 0, median = 0;  // of |predicted / measured - 1|
  double bias = 0;              // the median of predicted / measured - 1
  double rank_correlation = 1;  // Spearman's; of values alike the mean of their ranks. 1 where all are alike
  double regret = 0;            // measured time of the one predicted quickest, over the least measured, - 1
};

// Times of the same things in the same order, above 0. Of none: nothing is wrong.
PredictionQuality QualityOf(const std::vector<double>& predicted, const std::vector<double>& measured);

}  // namespace orthant
