// Statistics that a few wild values do not move, and which of many alike things is not alike. Pure.
#pragma once

#include <cstddef>
#include <vector>

namespace orthant::doctor {

// The middle value; of an even number the lower of the two in the middle, so that half of all may be too
// large and the other half is still what counts. 0 of none.
double LowMedian(std::vector<double> values);
// The standard deviation that a normal distribution with this median absolute deviation (from the low median)
// has: 1.4826 x MAD, Rousseeuw and Croux 1993. 0 of fewer than two.
double RobustSigma(const std::vector<double>& values);

// When a cost (seconds; more is worse) stands out among its like.
struct OddRule {
  double factor = 2.0;  // at least so many times what is typical,
  double sigmas = 6.0;  // and so many robust standard deviations above it,
  double floor = 0.0;   // and by so much at least
};

// The cost above which `rule` calls one of them odd: the typical cost is the low median.
double OddLimit(const std::vector<double>& costs, const OddRule& rule);

// Indices of the costs above the limit, worst first. None when there are fewer than three: of two that differ
// nobody can say which is odd.
std::vector<size_t> OddOnes(const std::vector<double>& costs, const OddRule& rule);

}  // namespace orthant::doctor
