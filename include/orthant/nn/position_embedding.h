// Learned positions (GPT-2): x + table[first : first + S].
#pragma once

#include "ATen/core/Tensor.h"
#include "orthant/nn/parameter.h"

namespace orthant {

// x [B, S, H], table [context, H] -> x + table rows first .. first + S - 1, differentiable in x; the table's
// gradient is added during backward. `table` must outlive the graph.
at::Tensor AddPositions(const at::Tensor& x, Parameter& table, int64_t first);

}  // namespace orthant
