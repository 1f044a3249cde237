// Reading --ops and --sizes.
#include <algorithm>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "orthant/bench/operations.h"
#include "orthant/config/byte_size.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/mesh/divisors.h"

namespace orthant {
namespace {

constexpr int64_t kFactor = 4;
constexpr int64_t kDefaultFrom = int64_t{4} << 10, kDefaultTo = int64_t{64} << 20;

std::vector<std::string> Words(const std::string& text) {
  std::vector<std::string> words;
  for (absl::string_view word : absl::StrSplit(text, ',')) {
    words.emplace_back(absl::StripAsciiWhitespace(word));
  }
  return words;
}

absl::StatusOr<int64_t> ReadSize(const std::string& text, int64_t unit, const std::string& why) {
  const std::variant<int64_t, std::string> read = ReadByteSize(text);
  if (const auto* problem = std::get_if<std::string>(&read)) {
    return ConfigurationError(absl::StrCat("--sizes: ", *problem));
  }
  const int64_t bytes = std::get<int64_t>(read);
  if (bytes > 0 && bytes % unit == 0) return bytes;
  return ConfigurationError(
      absl::StrCat("--sizes: ", text, " must be a positive multiple of ", unit, " bytes, ", why,
                   "; nearest legal: ", AnyOf(NearestMultiples(unit, bytes)), " bytes"));
}

}  // namespace

absl::StatusOr<std::vector<BenchOp>> ParseBenchOps(const std::string& text) {
  if (text == "all") return std::vector<BenchOp>(kBenchOps.begin(), kBenchOps.end());
  std::vector<std::string> known;
  for (const BenchOp op : kBenchOps) known.emplace_back(BenchOpName(op));
  std::vector<BenchOp> ops;
  for (const std::string& word : Words(text)) {
    const std::optional<BenchOp> op = BenchOpNamed(word);
    if (!op) {
      const std::optional<std::string> meant = ClosestMatch(word, known);
      return ConfigurationError(absl::StrCat("--ops: '", word, "' is no operation",
                                             meant ? absl::StrCat("; did you mean ", *meant, "?") : "",
                                             " There are all, ", JoinWords(known)));
    }
    if (std::find(ops.begin(), ops.end(), *op) != ops.end()) {
      return ConfigurationError(absl::StrCat("--ops: ", word, " stands there twice"));
    }
    ops.push_back(*op);
  }
  return ops;
}

absl::StatusOr<std::vector<int64_t>> ParseBenchSizes(const std::string& text, int64_t unit,
                                                     const std::string& why) {
  std::vector<int64_t> sizes;
  for (const std::string& word : Words(text)) {
    const size_t dots = word.find("..");
    const absl::StatusOr<int64_t> from = ReadSize(word.substr(0, dots), unit, why);
    if (!from.ok()) return from.status();
    if (dots == std::string::npos) {
      sizes.push_back(*from);
      continue;
    }
    const absl::StatusOr<int64_t> to = ReadSize(word.substr(dots + 2), unit, why);
    if (!to.ok()) return to.status();
    if (*to < *from) {
      return ConfigurationError(absl::StrCat("--sizes: ", word, " goes down; write the smaller size first"));
    }
    for (int64_t size = *from; size<*to; size = size> * to / kFactor ? *to : size * kFactor)
      sizes.push_back(size);
    sizes.push_back(*to);
  }
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  return sizes;
}

std::vector<int64_t> DefaultBenchSizes(int64_t unit) {
  std::vector<int64_t> sizes;
  for (int64_t size = kDefaultFrom; size <= kDefaultTo; size *= kFactor) {
    const int64_t legal = std::max(unit, size / unit * unit);
    if (sizes.empty() || sizes.back() < legal) sizes.push_back(legal);
  }
  return sizes;
}

}  // namespace orthant
