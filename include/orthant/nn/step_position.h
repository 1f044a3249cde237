// Where a stage stands inside a step; written by the trainer before each microbatch, read by labels and
// dropout.
#pragma once

#include <cstdint>
#include <vector>

namespace orthant {

struct StepPosition {
  int64_t step = 0;
  int microbatch = -1;
  std::vector<int64_t> rows;  // positions of this microbatch's samples within the global batch, [b]
  bool training = true;       // false: evaluation (no dropout, no gradients)
};

}  // namespace orthant
