// The global gradient norm: the square root of the sum of squares of every logical gradient element, each counted
// once, over all axes of the mesh.
#pragma once

#include <vector>

#include "orthant/comm/communicator.h"
#include "orthant/data_parallel/sharded_unit.h"

namespace orthant {

// Sum of squares of a 1-D tensor in fp64. The order of the sum is fixed: blocks, then lanes, whatever the threads.
double SumOfSquares(const at::Tensor& values);

// `data` is data x sequence (used when the units are sharded over it), `model` is pipeline x tensor.
double GradientNorm(const std::vector<ShardedUnit*>& units, Communicator& data, Communicator& model);

// What gradients are multiplied by: min(1, limit / (norm + 1e-6)); 1 when limit is 0.
double ClipScale(double norm, double limit);

}  // namespace orthant
