// Middle values. Pure.
#pragma once

#include <vector>

namespace orthant {

// The value below which `fraction` (0 .. 1) of the values lie, between neighbours by proportion. 0 of none.
double Quantile(std::vector<double> values, double fraction);

// The middle value; of an even number the mean of the two in the middle. 0 of none.
double MedianOf(std::vector<double> values);

}  // namespace orthant
