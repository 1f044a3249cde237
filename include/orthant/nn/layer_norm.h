// Layer normalisation over the last dim (Ba et al., arXiv 1607.06450), its gradients written into Parameters.
#pragma once

#include "ATen/core/Tensor.h"
#include "orthant/nn/parameter.h"

namespace orthant {

// x [..., H], weight [H], bias [H] or null -> [..., H]; differentiable in x. `weight` and `bias` must outlive
// the graph; their gradients are added during backward.
at::Tensor LayerNorm(const at::Tensor& x, Parameter& weight, Parameter* bias, double eps);

}  // namespace orthant
