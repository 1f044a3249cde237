// Nearest legal values, for messages about things that do not divide: pure arithmetic, microseconds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace orthant {

// The largest divisor of n at or below `value` and the smallest at or above it: one value when `value` itself
// divides n or only one side exists, else two, ascending. n >= 1; value may be anything. O(sqrt(n)).
std::vector<int64_t> NearestDivisors(int64_t n, int64_t value);

// The largest positive multiple of `factor` at or below `value` and the smallest at or above it, as above.
// factor >= 1.
std::vector<int64_t> NearestMultiples(int64_t factor, int64_t value);

// Every divisor of n, ascending. n >= 1. O(sqrt(n)).
std::vector<int64_t> Divisors(int64_t n);

// "2", "2 or 4", "1, 2 or 4"; an empty list is "none".
std::string AnyOf(const std::vector<int64_t>& values);

}  // namespace orthant
