// Recompute (Chen et al., arXiv 1604.06174): a part of the forward whose intermediate tensors are not kept,
// but computed again when its backward needs them. Time for memory.
#pragma once

#include <functional>

#include "ATen/core/Tensor.h"

namespace orthant {

// y = body(x). Backward runs `body` again, with autograd, and goes through that graph at once. Gradients are
// equal to the last bit to those of body(x) where body is a function of x and of what it reads by position:
// parameters that have not been updated since, and dropout by counter (the reader's step, microbatch and rows
// must be set for backward as for forward). Parameters get their gradients from the operations inside, and
// their owners are told as without. `body` lives as long as the graph; it may itself use Recompute. Without
// autograd it is body(x) and nothing else.
at::Tensor Recompute(const at::Tensor& x, std::function<at::Tensor(const at::Tensor&)> body);

}  // namespace orthant
