// Scales of plots: what kind of number stands on an axis, where its ticks are and how they are written. Pure.
#pragma once

#include <string>
#include <vector>

namespace orthant {

enum class Quantity {
  kNumber,   // 0.0125, 3.4
  kCount,    // 1.5k, 20M
  kBytes,    // 3.5 MiB
  kShare,    // 0.25 is 25%
  kSeconds,  // 12 ms, 3.4 s
};

// For people, some three digits: "3.51 MiB", "25.1%", "12.3 ms", "1.5k", "0.0125". "-" when not finite.
std::string Show(double value, Quantity quantity);

// Round values from `low` to `high`, at most `most` (2 or more) of them; of bytes in powers of two.
// Ascending, empty when the range is not finite or upside down.
std::vector<double> RoundTicks(double low, double high, int most, Quantity quantity = Quantity::kNumber);
// 1, 2 and 5 times powers of ten, or powers alone where these are many; both ends are above 0.
std::vector<double> LogTicks(double low, double high, int most);

// A range of data as an axis takes it: with a margin, or from 0; never empty. Values that are not finite
// (and, on a logarithmic axis, not above 0) do not count.
struct Range {
  double low = 0, high = 1;
};
Range RangeOf(const std::vector<const std::vector<double>*>& values, bool from_zero, bool logarithmic);

}  // namespace orthant
