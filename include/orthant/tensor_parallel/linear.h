// Column- and row-parallel linear layers (Megatron-LM, arXiv 1909.08053, section 3). A column layer followed
// by elementwise work and a row layer needs one collective forward and one backward.
#pragma once

#include "orthant/nn/parameter.h"
#include "orthant/nn/weight.h"
#include "orthant/tensor_parallel/context.h"

namespace orthant {

// y = x W^T + b with W [M/t, K] and b [M/t]: this rank's output features.
// x [B, S, K], or [B, S/t, K] with tensor_sequence (gathered here, and again in backward instead of being
// kept).
// -> [B, S, M/t]. Backward sums the input gradient over the group while the weight gradient is computed.
at::Tensor ColumnLinear(const at::Tensor& x, const Weight& weight, Parameter* bias,
                        const TensorContext& context, const char* what, int layer);

// y = sum over ranks of x W^T, + b, with W [M, K/t] and b [M] whole on every rank.
// x [B, S, K/t] -> [B, S, M], or [B, S/t, M] with tensor_sequence.
at::Tensor RowLinear(const at::Tensor& x, const Weight& weight, Parameter* bias, const TensorContext& context,
                     const char* what, int layer);

}  // namespace orthant
