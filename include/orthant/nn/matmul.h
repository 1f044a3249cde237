// The three matrix products of a linear layer y = x W^T + b, on flattened rows. No autograd, no
// communication: column, row and head layers put these between their collectives.
#pragma once

#include "ATen/core/Tensor.h"
#include "orthant/nn/parameter.h"

namespace orthant {

// a [N, K], b [K, M], one dtype -> a b [N, M] in it; any strides. By the quickest library that LibTorch
// carries for this processor; 16-bit products are summed in fp32 and rounded once.
at::Tensor MatMul(const at::Tensor& a, const at::Tensor& b);

// The dtype that products of matrices like `a` are made in: fp32 for 16-bit types without instructions of
// their own. Who multiplies by the same matrix again and again converts it first.
at::ScalarType ProductType(const at::Tensor& a);

// Whether products in `dtype` are oneDNN's inner products on this processor: they copy a transposed first
// operand and cannot add to a gradient. For predicting memory.
bool MultipliesByOneDnn(at::ScalarType dtype);

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
