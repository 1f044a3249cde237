// Which parameters make a unit: tiles of large linears alone, the rest together up to the bucket size. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "orthant/nn/parameter.h"

namespace orthant {

struct UnitSplit {
  int64_t bucket_bytes = 0;  // largest unit, unless one parameter is larger; 0: any
  int64_t tile_bytes = 0;    // a linear's weight that is larger becomes tiles of rows; 0: never
  int64_t element_size = 4;  // bytes of a value
};

// The parameters of `specs`, in order, by unit.
std::vector<std::vector<ParameterSpec>> SplitIntoUnits(const std::vector<ParameterSpec>& specs,
                                                       const UnitSplit& split);

}  // namespace orthant
