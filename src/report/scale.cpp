#include "orthant/report/scale.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace orthant {
namespace {

// Three significant digits, no exponent between 1e-4 and 1e6, no trailing zeros.
std::string ThreeDigits(double value) {
  const double size = std::fabs(value);
  if (size != 0 && (size < 1e-4 || size >= 1e6)) return absl::StrFormat("%.3g", value);
  if (size >= 100) return absl::StrFormat("%.0f", value);
  const int decimals = size == 0 ? 0 : std::max(0, 2 - static_cast<int>(std::floor(std::log10(size))));
  std::string text = absl::StrFormat("%.*f", decimals, value);
  if (text.find('.') != std::string::npos) {
    while (text.back() == '0') text.pop_back();
    if (text.back() == '.') text.pop_back();
  }
  return text;
}

std::string WithPrefix(double value, double base, const std::vector<const char*>& units) {
  size_t unit = 0;
  while (std::fabs(value) >= base && unit + 1 < units.size()) {
    value /= base;
    ++unit;
  }
  return absl::StrCat(ThreeDigits(value), units[unit]);
}

std::string ShowSeconds(double value) {
  const double size = std::fabs(value);
  if (size == 0) return "0 s";
  if (size < 1e-3) return absl::StrCat(ThreeDigits(1e6 * value), " us");
  if (size < 1) return absl::StrCat(ThreeDigits(1e3 * value), " ms");
  if (size < 120) return absl::StrCat(ThreeDigits(value), " s");
  return size < 7200 ? absl::StrCat(ThreeDigits(value / 60), " min")
                     : absl::StrCat(ThreeDigits(value / 3600), " h");
}

double RoundStep(double step, Quantity quantity) {
  if (quantity == Quantity::kBytes) return std::exp2(std::ceil(std::log2(step)));
  const double power = std::pow(10, std::floor(std::log10(step)));
  for (const double factor : {1.0, 2.0, 2.5, 5.0}) {
    if (factor * power >= step * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

}  // namespace

std::string Show(double value, Quantity quantity) {
  if (!std::isfinite(value)) return "-";
  switch (quantity) {
    case Quantity::kNumber:
      return ThreeDigits(value);
    case Quantity::kCount:
      return WithPrefix(value, 1000, {"", "k", "M", "G", "T", "P"});
    case Quantity::kBytes:
      return WithPrefix(value, 1024, {" B", " KiB", " MiB", " GiB", " TiB", " PiB"});
    case Quantity::kShare:
      return ThreeDigits(100 * value) + "%";
    case Quantity::kSeconds:
      return ShowSeconds(value);
  }
  return "";
}

std::vector<double> RoundTicks(double low, double high, int most, Quantity quantity) {
  if (!std::isfinite(low) || !std::isfinite(high) || !(low < high)) return {};
  double step = RoundStep((high - low) / std::max(1, most), quantity);
  std::vector<double> ticks;
  for (;;) {
    ticks.clear();
    const double first = std::ceil(low / step - 1e-9);
    for (double i = first; i * step <= high + 1e-9 * (high - low); ++i)
      ticks.push_back(i * step == 0 ? 0.0 : i * step);
    if (static_cast<int>(ticks.size()) <= most || ticks.size() <= 2) return ticks;
    step = RoundStep(step * 1.01, quantity);
  }
}

std::vector<double> LogTicks(double low, double high, int most) {
  if (!(low > 0) || !(low < high) || !std::isfinite(high)) return {};
  const int first = static_cast<int>(std::floor(std::log10(low))),
            last = static_cast<int>(std::ceil(std::log10(high)));
  std::vector<double> fine, powers;
  for (int exponent = first; exponent <= last; ++exponent) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double tick = factor * std::pow(10, exponent);
      if (tick < low * (1 - 1e-9) || tick > high * (1 + 1e-9)) continue;
      fine.push_back(tick);
      if (factor == 1.0) powers.push_back(tick);
    }
  }
  if (static_cast<int>(fine.size()) <= most) return fine.size() >= 2 ? fine : RoundTicks(low, high, most);
  std::vector<double> some;
  const size_t stride = (powers.size() + static_cast<size_t>(most) - 1) / static_cast<size_t>(most);
  for (size_t i = 0; i < powers.size(); i += std::max<size_t>(1, stride)) some.push_back(powers[i]);
  return some;
}

Range RangeOf(const std::vector<const std::vector<double>*>& values, bool from_zero, bool logarithmic) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const std::vector<double>* list : values) {
    for (const double value : *list) {
      if (!std::isfinite(value) || (logarithmic && !(value > 0))) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  if (low > high) return logarithmic ? Range{0.1, 1} : Range{0, 1};
  if (logarithmic) {
    const double margin = std::max(std::pow(high / low, 0.05), 1.02);
    return {low / margin, high * margin};
  }
  if (from_zero && low >= 0) return {0, high > 0 ? high * 1.05 : 1};
  const double margin = high > low ? 0.05 * (high - low) : std::max(0.05 * std::fabs(high), 1e-6);
  return {low - margin, high + margin};
}

}  // namespace orthant
