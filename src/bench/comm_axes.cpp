// Reading --mesh and --axis.
#include <algorithm>
#include <numeric>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "orthant/bench/comm_bench.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

constexpr int kMostRanks = 1 << 20;

int& DegreeOf(Degrees& degrees, Axis axis) {
  switch (axis) {
    case Axis::kData:
      return degrees.data;
    case Axis::kTensor:
      return degrees.tensor;
    case Axis::kPipeline:
      return degrees.pipeline;
    case Axis::kSequence:
      break;
  }
  return degrees.sequence;
}

std::vector<BenchAxis> KnownAxes() {
  std::vector<BenchAxis> known;
  for (const Axis axis : kAxes) known.push_back({std::string(AxisName(axis)), {axis}});
  known.push_back({"data_sequence", {Axis::kData, Axis::kSequence}});
  known.push_back({"world", {Axis::kData, Axis::kTensor, Axis::kPipeline, Axis::kSequence}});
  return known;
}

int64_t RanksOf(const BenchAxis& axis, const Degrees& degrees) {
  int64_t ranks = 1;
  for (const Axis a : kAxes) ranks *= axis.axes.Has(a) ? degrees[a] : 1;
  return ranks;
}

std::string DidYouMean(const std::string& word, const std::vector<std::string>& known) {
  const std::optional<std::string> meant = ClosestMatch(word, known);
  return meant ? absl::StrCat("; did you mean ", *meant, "?")
               : absl::StrCat("; there are ", JoinWords(known));
}

std::vector<std::string> Names(const std::vector<BenchAxis>& axes) {
  std::vector<std::string> names;
  for (const BenchAxis& axis : axes) names.push_back(axis.name);
  return names;
}

}  // namespace

absl::StatusOr<Degrees> ParseBenchMesh(const std::string& text) {
  Degrees degrees;
  unsigned seen = 0;
  for (absl::string_view piece : absl::StrSplit(text, ',')) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(piece, absl::MaxSplits('=', 1));
    const std::string name(absl::StripAsciiWhitespace(parts.first));
    const std::optional<Axis> axis = AxisNamed(name);
    if (!axis) {
      std::vector<std::string> known;
      for (const Axis a : kAxes) known.emplace_back(AxisName(a));
      return ConfigurationError(absl::StrCat("--mesh ", text, ": '", name, "' is no axis",
                                             DidYouMean(name, known), " (as data=2,tensor=4)"));
    }
    int degree = 0;
    if (!absl::SimpleAtoi(parts.second, &degree) || degree < 1 || degree > kMostRanks) {
      return ConfigurationError(absl::StrCat("--mesh ", text, ": the degree of ", name, " is '", parts.second,
                                             "', but must be a number from 1 to ", kMostRanks));
    }
    const unsigned bit = 1u << static_cast<int>(*axis);
    if ((seen & bit) != 0)
      return ConfigurationError(absl::StrCat("--mesh ", text, ": ", name, " stands there twice"));
    seen |= bit;
    DegreeOf(degrees, *axis) = degree;
  }
  if (degrees.world() > kMostRanks) {
    return ConfigurationError(
        absl::StrCat("--mesh ", text, " is ", degrees.world(), " ranks; the most are ", kMostRanks));
  }
  return degrees;
}

absl::StatusOr<std::vector<BenchAxis>> ParseBenchAxes(const std::string& text, const Degrees& degrees) {
  const std::vector<BenchAxis> known = KnownAxes();
  std::vector<BenchAxis> axes;
  if (text == "all") {
    const bool both = degrees.data > 1 && degrees.sequence > 1;
    for (const BenchAxis& axis : known) {
      if (RanksOf(axis, degrees) == 1 || (axis.name == "data_sequence" && !both)) continue;
      const bool alone =
          axis.name == "world" && std::any_of(axes.begin(), axes.end(), [&](const BenchAxis& a) {
            return RanksOf(a, degrees) == degrees.world();
          });
      if (!alone) axes.push_back(axis);
    }
    if (!axes.empty()) return axes;
    return ConfigurationError("the mesh has one rank, which has nobody to communicate with; see --mesh");
  }
  for (absl::string_view piece : absl::StrSplit(text, ',')) {
    const std::string name(absl::StripAsciiWhitespace(piece));
    const auto found =
        std::find_if(known.begin(), known.end(), [&](const BenchAxis& a) { return a.name == name; });
    if (found == known.end()) {
      return ConfigurationError(
          absl::StrCat("--axis: '", name, "' is no axis", DidYouMean(name, Names(known))));
    }
    if (RanksOf(*found, degrees) == 1) {
      return ConfigurationError(absl::StrCat("--axis ", name, ": the mesh (", ToString(degrees),
                                             ") has one rank along it, which communicates nothing"));
    }
    for (const BenchAxis& axis : axes) {
      if (axis.name == name) return ConfigurationError(absl::StrCat("--axis: ", name, " stands there twice"));
    }
    axes.push_back(*found);
  }
  return axes;
}

int64_t BenchSizeUnit(const std::vector<BenchAxis>& axes, const Mesh& mesh, int64_t element_size) {
  int64_t ranks = 1;
  for (const BenchAxis& axis : axes) ranks = std::lcm(ranks, RanksOf(axis, mesh.degrees()));
  return ranks * element_size;
}

}  // namespace orthant
