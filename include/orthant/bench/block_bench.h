// What a block costs when it is trained, for the part that its arithmetic does not explain: dispatch,
// autograd, allocation.
#pragma once

#include "absl/status/statusor.h"
#include "orthant/comm/communicator.h"
#include "orthant/model/model_config.h"
#include "orthant/train/launch.h"

namespace orthant {

// The small model whose blocks are timed, a sample a microbatch.
ModelConfig BlockBenchModel();

// Seconds of a block's forward and backward of a microbatch, while every rank of `world` trains alone: what
// four more layers add to a step, by BenchStep. Collective; whole on rank 0.
absl::StatusOr<double> BenchBlock(Communicator& world, const RankEnvironment& environment);

}  // namespace orthant
