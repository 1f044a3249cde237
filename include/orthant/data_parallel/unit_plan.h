// Which parameters live in which unit, and how large its buffers are: pure, so that memory can be predicted
// without ranks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "orthant/data_parallel/unit_split.h"
#include "orthant/nn/parameter.h"

namespace orthant {

// Parameters start on boundaries of this many elements (64 bytes of fp32), which matrix kernels like.
inline constexpr int64_t kUnitAlignment = 16;

struct UnitPlan {
  std::string name;
  std::vector<ParameterSpec> specs;
};

// The units that `specs` make, named `name`, or `name/0`, `name/1`, ... as MakeUnits does.
std::vector<UnitPlan> PlanUnits(const std::string& name, const std::vector<ParameterSpec>& specs,
                                const UnitSplit& split);

// Elements of one parameter in a unit's buffer, padding included.
int64_t PlannedElements(const ParameterSpec& spec);
// Elements of a unit's flat buffer: a multiple of kUnitAlignment x shards.
int64_t PlannedElements(const std::vector<ParameterSpec>& specs, int64_t shards);

}  // namespace orthant
