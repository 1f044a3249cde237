// Sums into gradients whose dtype need not be the summand's: 16-bit activations make 16-bit summands,
// gradients may be fp32. Sums are made in fp32 and rounded once.
#pragma once

#include "ATen/core/Tensor.h"
#include "orthant/nn/parameter.h"

namespace orthant {

// sum += summand, or sum = summand. Equal shapes; `sum` contiguous. No copy of either in the other's dtype is
// made.
void AddOrCopy(const at::Tensor& sum, const at::Tensor& summand, bool add);

// Adds `summand` (shaped as the gradient, any floating dtype) to parameter.grad(), or overwrites it with the
// first contribution of a step. Does not tell ContributionDone().
void AddToGrad(Parameter& parameter, const at::Tensor& summand);

// x [N, ...] -> [...]: the sum over the first dim, in fp32 for 16-bit x, else in x's dtype.
at::Tensor SumOfFirstDim(const at::Tensor& x);

}  // namespace orthant
