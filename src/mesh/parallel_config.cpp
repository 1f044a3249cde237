#include "orthant/mesh/parallel_config.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orthant/core/status.h"
#include "orthant/mesh/divisors.h"

namespace orthant {
namespace {

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

// The product, or -1 where it is beyond any machine (and would overflow).
int64_t ProductOf(const Degrees& degrees) {
  int64_t product = 1;
  for (Axis axis : kAxes) {
    if (product > (int64_t{1} << 31)) return -1;
    product *= degrees[axis];
  }
  return product;
}

double Distance(const Degrees& a, const Degrees& b) {
  double sum = 0;
  for (Axis axis : kAxes) sum += std::abs(std::log2(static_cast<double>(a[axis]) / b[axis]));
  return sum;
}

// "parallel.tensor=2 parallel.data=3": what to write so that `from` becomes `to`.
std::string Overrides(const Degrees& from, const Degrees& to) {
  std::vector<std::string> parts;
  for (Axis axis : kAxes) {
    if (from[axis] != to[axis])
      parts.push_back(absl::StrCat("parallel.", std::string(AxisName(axis)), "=", to[axis]));
  }
  return absl::StrJoin(parts, " ");
}

absl::Status WorldMismatch(const Degrees& degrees, int64_t product, int64_t world) {
  std::string text = "parallel: ";
  for (Axis axis : kAxes) {
    absl::StrAppend(&text, axis == kAxes[0] ? "" : " x ", std::string(AxisName(axis)), " ", degrees[axis]);
  }
  if (product < 0) return ConfigurationError(absl::StrCat(text, " is more ranks than any world has."));
  absl::StrAppend(&text, " = ", product, product == 1 ? " rank" : " ranks", ", but the world has ", world,
                  ": the degrees must multiply to the number of ranks. Nearest legal: ",
                  Overrides(degrees, NearestDegrees(degrees, world)), "; or start ", product,
                  product == 1 ? " rank." : " ranks.");
  return ConfigurationError(std::move(text));
}

}  // namespace

absl::StatusOr<AxisOrder> ParseOrder(const std::vector<std::string>& names) {
  const std::string rule =
      absl::StrCat("parallel.order is [", absl::StrJoin(names, ", "),
                   "]: it must name each of pipeline, data, sequence and tensor once, outermost first; ");
  if (names.size() != kAxisCount)
    return ConfigurationError(absl::StrCat(rule, "it names ", names.size(), "."));
  AxisOrder order;
  unsigned seen = 0;
  for (int i = 0; i < kAxisCount; ++i) {
    const std::optional<Axis> axis = AxisNamed(names[i]);
    if (!axis) return ConfigurationError(absl::StrCat(rule, "'", names[i], "' is not an axis."));
    const unsigned bit = 1u << static_cast<int>(*axis);
    if (seen & bit) return ConfigurationError(absl::StrCat(rule, "'", names[i], "' stands there twice."));
    seen |= bit;
    order[i] = *axis;
  }
  return order;
}

Degrees NearestDegrees(const Degrees& degrees, int64_t world) {
  Degrees best{.data = static_cast<int>(world)};
  bool found = false;
  const auto consider = [&](const Degrees& candidate) {
    if (found && Distance(candidate, degrees) >= Distance(best, degrees)) return;
    best = candidate;
    found = true;
  };
  const auto product_without = [&](Axis a, Axis b) {
    int64_t product = 1;
    for (Axis axis : kAxes) {
      if (axis != a && axis != b) product *= degrees[axis];
    }
    return product;
  };
  for (Axis a : kAxes) {
    const int64_t others = product_without(a, a);
    if (world % others != 0) continue;
    Degrees candidate = degrees;
    DegreeOf(candidate, a) = static_cast<int>(world / others);
    consider(candidate);
  }
  if (found) return best;
  for (Axis a : kAxes) {
    for (Axis b : kAxes) {
      const int64_t others = product_without(a, b);
      if (a == b || world % others != 0) continue;
      for (int64_t d : NearestDivisors(world / others, degrees[a])) {
        Degrees candidate = degrees;
        DegreeOf(candidate, a) = static_cast<int>(d);
        DegreeOf(candidate, b) = static_cast<int>(world / others / d);
        consider(candidate);
      }
    }
  }
  return best;
}

absl::StatusOr<Mesh> MakeMesh(const ParallelConfig& config, int64_t world) {
  const Degrees degrees = config.degrees();
  for (Axis axis : kAxes) {
    if (degrees[axis] < 1) {
      return ConfigurationError(absl::StrCat("parallel.", std::string(AxisName(axis)), " is ", degrees[axis],
                                             ": a degree counts ranks and is at least 1."));
    }
  }
  if (world < 1) return ConfigurationError(absl::StrCat("A world of ", world, " ranks cannot hold a mesh."));
  const absl::StatusOr<AxisOrder> order = ParseOrder(config.order);
  if (!order.ok()) return order.status();
  const int64_t product = ProductOf(degrees);
  if (product != world) return WorldMismatch(degrees, product, world);
  return Mesh(degrees, *order);
}

}  // namespace orthant
