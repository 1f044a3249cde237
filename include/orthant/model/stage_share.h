// Which share of a model a pipeline stage holds. Pure data.
#pragma once

#include <cstdint>

namespace orthant {

struct StageShare {
  int64_t first_layer = 0, layers = 0;
  bool embedding = false;  // the first stage
  bool head = false;       // the last stage
};

}  // namespace orthant
