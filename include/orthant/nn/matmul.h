// The three matrix products of a linear layer y = x W^T + b, on flattened rows. No autograd, no
// communication: column, row and head layers put these between their collectives.
#pragma once

#include "ATen/core/Tensor.h"
#include "orthant/nn/parameter.h"

namespace orthant {

// a [N, K], b [K, M] -> a b [N, M]; any strides. fp32 by the quickest library that LibTorch carries for this
// processor.
at::Tensor MatMul(const at::Tensor& a, const at::Tensor& b);

// Adds a b to parameter.grad() (viewed as [N, M]), or overwrites it with the first contribution of a step.
// Does not tell ContributionDone().
void AddProductToGrad(const at::Tensor& a, const at::Tensor& b, Parameter& parameter);

// x [..., K], weight [M, K], bias [M] or undefined -> [..., M]
at::Tensor LinearForward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// dy [..., M], weight [M, K] -> dx [..., K]
at::Tensor LinearBackwardInput(const at::Tensor& dy, const at::Tensor& weight);

// Adds dy^T x to weight.grad() (viewed as [M, K]) and, where `bias` is given, the row sum of dy to
// bias->grad(); the first contribution of a step overwrites. dy [..., M], x [..., K].
void LinearBackwardWeight(const at::Tensor& dy, const at::Tensor& x, Parameter& weight, Parameter* bias);

// Adds the row sum of dy [..., M] to bias.grad() [M].
void BiasBackward(const at::Tensor& dy, Parameter& bias);

}  // namespace orthant
