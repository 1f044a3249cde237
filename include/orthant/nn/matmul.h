// The three matrix products of a linear layer y = x W^T + b, on flattened rows. No autograd, no communication:
// column, row and head layers put these between their collectives.
#pragma once

#include "ATen/core/Tensor.h"
#include "orthant/nn/parameter.h"

namespace orthant {

// x [..., K], weight [M, K], bias [M] or undefined -> [..., M]
at::Tensor LinearForward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// dy [..., M], weight [M, K] -> dx [..., K]
at::Tensor LinearBackwardInput(const at::Tensor& dy, const at::Tensor& weight);

// Adds dy^T x to weight.grad() (viewed as [M, K]) and, where `bias` is given, the row sum of dy to bias->grad();
// the first contribution of a step overwrites. dy [..., M], x [..., K].
void LinearBackwardWeight(const at::Tensor& dy, const at::Tensor& x, Parameter& weight, Parameter* bias);

// Adds the row sum of dy [..., M] to bias.grad() [M].
void BiasBackward(const at::Tensor& dy, Parameter& bias);

}  // namespace orthant
