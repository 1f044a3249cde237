#include "orthant/config/byte_size.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "config/number.h"

namespace orthant {
namespace {

struct ByteUnit {
  const char* name;
  int64_t bytes;
};
constexpr int64_t kKilo = 1000, kKibi = 1024;
constexpr std::array<ByteUnit, 9> kUnits = {{{"B", 1},
                                             {"KB", kKilo},
                                             {"MB", kKilo* kKilo},
                                             {"GB", kKilo* kKilo* kKilo},
                                             {"TB", kKilo* kKilo* kKilo* kKilo},
                                             {"KiB", kKibi},
                                             {"MiB", kKibi* kKibi},
                                             {"GiB", kKibi* kKibi* kKibi},
                                             {"TiB", kKibi* kKibi* kKibi* kKibi}}};
constexpr const char* kRule =
    "a number, alone or with B, KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024), as "
    "512 MiB";

std::string TooLarge(const std::string& text) {
  return absl::StrCat("'", text, "' does not fit 64 bits; the largest size is ", INT64_MAX);
}

}  // namespace

std::variant<int64_t, std::string> ReadByteSize(const std::string& text) {
  size_t split = text.size();
  while (split > 0 && absl::ascii_isalpha(static_cast<unsigned char>(text[split - 1]))) --split;
  const std::string word = split == text.size() ? "B" : text.substr(split);
  const auto plain =
      WithoutUnderscores(std::string(absl::StripTrailingAsciiWhitespace(text.substr(0, split))));
  const std::string not_size = absl::StrCat("'", text, "' is not a size in bytes: ", kRule);
  if (!plain) return not_size;
  std::errc error{};
  const std::optional<int64_t> whole = ParseNumber<int64_t>(*plain, &error);
  if (error == std::errc::result_out_of_range) return TooLarge(text);
  const std::optional<double> real = ParseNumber<double>(*plain, &error);
  if (!real || !std::isfinite(*real)) return not_size;

  const auto* const unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const ByteUnit& known) {
    return absl::EqualsIgnoreCase(known.name, word);
  });
  if (unit == kUnits.end()) return absl::StrCat("'", text, "' has the unknown unit '", word, "': ", kRule);
  int64_t exact = 0;
  if (whole && !__builtin_mul_overflow(*whole, unit->bytes, &exact)) return exact;
  const double bytes = *real * static_cast<double>(unit->bytes);
  if (std::abs(bytes) >= 0x1p63) return TooLarge(text);
  // Decimal fractions are not exact in binary: 0.1 GB is a whole number of bytes but for the last bits.
  const double nearest = std::round(bytes);
  if (std::abs(bytes - nearest) > std::max(1e-9, std::abs(bytes) * 0x1p-51)) {
    return absl::StrFormat("'%s' is not a whole number of bytes; the nearest are %.0f and %.0f", text,
                           std::floor(bytes), std::ceil(bytes));
  }
  return static_cast<int64_t>(nearest);
}

std::string WriteByteSize(int64_t bytes) {
  const ByteUnit* best = nullptr;
  for (const ByteUnit& unit : kUnits) {
    const bool binary = unit.name[1] == 'i';
    if (binary && bytes != 0 && bytes % unit.bytes == 0) best = &unit;
  }
  return best == nullptr ? absl::StrCat(bytes) : absl::StrCat(bytes / best->bytes, " ", best->name);
}

}  // namespace orthant
