#include "orthant/data_parallel/unit_plan.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace orthant {
namespace {

int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

std::vector<UnitPlan> PlanUnits(const std::string& name, const std::vector<ParameterSpec>& specs,
                                const UnitSplit& split) {
  std::vector<std::vector<ParameterSpec>> groups = SplitIntoUnits(specs, split);
  std::vector<UnitPlan> units;
  for (size_t i = 0; i < groups.size(); ++i) {
    units.push_back({groups.size() == 1 ? name : absl::StrCat(name, "/", i), std::move(groups[i])});
  }
  return units;
}

int64_t PlannedElements(const ParameterSpec& spec) {
  return RoundUp(spec.LocalElements(), kUnitAlignment);
}

int64_t PlannedElements(const std::vector<ParameterSpec>& specs, int64_t shards) {
  int64_t elements = 0;
  for (const ParameterSpec& spec : specs) elements += PlannedElements(spec);
  return RoundUp(elements, kUnitAlignment * shards);
}

}  // namespace orthant
