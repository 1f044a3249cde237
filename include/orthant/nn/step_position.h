// Where a stage stands inside a step; written by the trainer before each microbatch, read by labels and
// dropout.
#pragma once

#include <cstdint>
#include <vector>

#include "orthant/nn/finite_probe.h"

namespace orthant {

struct StepPosition {
  int64_t step = 0;
  int microbatch = -1;
  std::vector<int64_t> rows;     // positions of this microbatch's samples within the global batch, [b]
  bool training = true;          // false: evaluation (no dropout, no gradients)
  bool backward = false;         // of this microbatch
  FiniteProbe* probe = nullptr;  // set while a step that went wrong is computed again
};

}  // namespace orthant
