// The global gradient norm: the square root of the sum of squares of every logical gradient element, each
// counted once, over all axes of the mesh.
#pragma once

#include <vector>

#include "orthant/data_parallel/sharded_unit.h"

namespace orthant {

// Sum of squares of a 1-D contiguous tensor, of any floating dtype, in fp64. The order of the sum is fixed:
// blocks, then lanes, whatever the threads.
double SumOfSquares(const at::Tensor& values);

// This rank's part of the squared norm: the parts of all ranks of the world add up to it. Among ranks that
// hold the same gradients, the first replica counts.
double SquaredNormPart(const std::vector<ShardedUnit*>& units);

// What gradients are multiplied by: min(1, limit / (norm + 1e-6)); 1 when limit is 0.
double ClipScale(double norm, double limit);

}  // namespace orthant
