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
// only blocks of rows, of at most `block_bytes` in the dtype of the softmax: fp32 for 16-bit x (such a block
// and its 16-bit copy are held), else x's. Gradients are made from each block while it is in hand. x [B, S,
// H] (or [B, S/t, H] with tensor_sequence), targets [B, S] int64, weight [V/t, H]
// -> fp64 scalar: scale * sum of the tokens' losses, the same on every tensor rank.
// Gradients are those of gradient_scale * this, so that fp16 need not round small ones to 0 (loss scaling,
// arXiv 1710.03740, section 3.2); the result itself is not scaled. When x requires no grad nothing of the
// backward is computed. The gradient handed to this result must be 1.
at::Tensor VocabularyLoss(const at::Tensor& x, const at::Tensor& targets, Parameter& weight, double scale,
                          const TensorContext& context, double gradient_scale = 1.0,
                          int64_t block_bytes = int64_t{32} << 20);

// x [B, H] (whole on every tensor rank) -> logits [B, V] in x's dtype, gathered from all shards, padding
// dropped. No autograd.
at::Tensor VocabularyLogits(const at::Tensor& x, const Parameter& weight, const TensorContext& context);

}  // namespace orthant
