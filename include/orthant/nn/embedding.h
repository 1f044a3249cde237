// Row lookups and their gradients, for whole and vocabulary-sharded tables. No autograd, no communication.
#pragma once

#include <cstdint>

#include "ATen/core/Tensor.h"
#include "orthant/nn/parameter.h"

namespace orthant {

// tokens [B, S] int64, table [V_local, H] holding ids first .. first + V_local - 1 -> [B, S, H]; zero rows
// for ids that are held elsewhere.
at::Tensor EmbeddingLookup(const at::Tensor& tokens, const at::Tensor& table, int64_t first);

// Adds dy [B, S, H] to the rows of table.grad() that `tokens` name; the first contribution of a step
// overwrites. The gradient is fp32 or of dy's dtype; 16-bit rows are summed in fp32 and rounded once. Rows
// are added in token order whatever the number of threads, so results are repeatable to the bit.
void EmbeddingBackward(const at::Tensor& dy, const at::Tensor& tokens, Parameter& table, int64_t first);

}  // namespace orthant
