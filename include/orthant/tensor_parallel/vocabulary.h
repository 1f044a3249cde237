// The two ends of a language model, sharded along the vocabulary (Megatron-LM, arXiv 1909.08053, section 3).
// A vocabulary that the tensor degree does not divide is padded; padded classes take no part.
#pragma once

#include <cstdint>

#include "orthant/nn/parameter.h"
#include "orthant/tensor_parallel/context.h"

namespace orthant {

// tokens [B, S] int64, table [V/t, H] (this rank's rows) -> [B, S, H], or [B, S/t, H] with tensor_sequence.
// `anchor` is any scalar that requires grad, so that backward reaches the table.
at::Tensor VocabularyEmbedding(const at::Tensor& tokens, const at::Tensor& anchor, Parameter& table,
                               const TensorContext& context);

// The projection onto the vocabulary and its cross-entropy in one operation: whole logits are never held,
// only blocks of rows of at most `block_bytes`; gradients are made from each block while it is in hand. x [B,
// S, H] (or [B, S/t, H] with tensor_sequence), targets [B, S] int64, weight [V/t, H]
// -> scalar: scale * sum of the tokens' losses, the same on every tensor rank.
// When x requires no grad nothing of the backward is computed. The gradient handed to this result must be 1.
at::Tensor VocabularyLoss(const at::Tensor& x, const at::Tensor& targets, Parameter& weight, double scale,
                          const TensorContext& context, int64_t block_bytes = int64_t{32} << 20);

// x [B, H] (whole on every tensor rank) -> logits [B, V] gathered from all shards, padding dropped. No
// autograd.
at::Tensor VocabularyLogits(const at::Tensor& x, const Parameter& weight, const TensorContext& context);

}  // namespace orthant
