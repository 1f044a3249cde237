// The typical step of a run, by one rule for its summary, its page and the page of a sweep. Pure.
#pragma once

#include <cstdint>
#include <vector>

namespace orthant {

// Steps at the beginning of a run that no median counts: a fifth of them, at most 10, at least 1 where there
// are two.
int64_t WarmUpSteps(int64_t steps);

// The middle of what comes after them, of an even number the mean of the two in the middle. Values that are
// not finite do not count. NaN of none.
double MedianAfterWarmUp(const std::vector<double>& steps);

}  // namespace orthant
