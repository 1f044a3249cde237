#include "orthant/mesh/divisors.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace orthant {

std::vector<int64_t> Divisors(int64_t n) {
  std::vector<int64_t> low, high;
  for (int64_t d = 1; d <= n / d; ++d) {
    if (n % d != 0) continue;
    low.push_back(d);
    if (d != n / d) high.push_back(n / d);
  }
  low.insert(low.end(), high.rbegin(), high.rend());
  return low;
}

std::vector<int64_t> NearestDivisors(int64_t n, int64_t value) {
  const std::vector<int64_t> divisors = Divisors(n);
  const auto above = std::lower_bound(divisors.begin(), divisors.end(), value);
  if (above == divisors.end()) return {divisors.back()};
  if (above == divisors.begin() || *above == value) return {*above};
  return {*(above - 1), *above};
}

std::vector<int64_t> NearestMultiples(int64_t factor, int64_t value) {
  if (value <= factor) return {factor};
  const int64_t below = value / factor * factor;
  if (below == value) return {value};
  return {below, below + factor};
}

std::string AnyOf(const std::vector<int64_t>& values) {
  if (values.empty()) return "none";
  std::string text;
  for (size_t i = 0; i < values.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : i + 1 == values.size() ? " or " : ", ", values[i]);
  }
  return text;
}

}  // namespace orthant
