// Row kernels of the softmax cross-entropy over a (shard of a) vocabulary, in place on a block of logits.
// Split in three so that a tensor-parallel loss can put its all-reduces between them (Megatron-LM,
// arXiv 1909.08053, section 3). Padded classes (columns >= valid) take no part.
#pragma once

#include <cstdint>

#include "ATen/core/Tensor.h"

namespace orthant {

// The share of the vocabulary in a block of logits [N, columns].
struct VocabShard {
  int64_t first = 0;  // id of column 0
  int64_t valid = 0;  // columns that are real classes; the rest is padding
};

// logits [N, columns] -> maxima [N] over the valid columns (lowest() when there are none).
at::Tensor RowMaxima(const at::Tensor& logits, const VocabShard& shard);

// Replaces logits by exp(logit - maximum). Returns [2, N]: the row sums of these, and the target's
// (logit - maximum) where the target lies in this shard, else 0. targets [N] int64.
at::Tensor ExponentiateRows(const at::Tensor& logits, const at::Tensor& maxima, const at::Tensor& targets,
                            const VocabShard& shard);

// Turns the exponentials into the gradient of scale * loss: scale * (softmax - one_hot(target)); padding is
// 0. sums [N]: whole-vocabulary row sums.
void GradientRows(const at::Tensor& exponentials, const at::Tensor& sums, const at::Tensor& targets,
                  const VocabShard& shard, double scale);

}  // namespace orthant
