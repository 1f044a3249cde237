// Learning rate as a pure function of the step.
#pragma once

#include <cstdint>

#include "orthant/optim/optimizer_config.h"

namespace orthant {

// Steps count from 1. Linear warm-up: lr * step / warmup while step <= warmup; then from lr at `warmup` down
// to min_lr at `steps` along a half cosine (SGDR, arXiv 1608.03983, eq. 5) or a line, or lr throughout.
double LearningRate(const OptimizerConfig& config, int64_t step, int64_t steps);

}  // namespace orthant
