// Causal self-attention, tensor-parallel over heads and Ulysses-parallel over the sequence.
#pragma once

#include "orthant/model/model_config.h"
#include "orthant/model/stage_model.h"
#include "orthant/nn/weight.h"

namespace orthant {

// Parameters of one attention layer; `bias` pointers may be null.
struct AttentionParameters {
  Weight qkv;                     // logical [3, H, H], heads split over tensor: local [3, H/t, H]
  Parameter* qkv_bias = nullptr;  // logical [3, H]
  Weight out;                     // logical [H, H], local [H, H/t]
  Parameter* out_bias = nullptr;  // [H]
};

// x [b, S', H] -> [b, S', H]. `context` outlives the graph.
at::Tensor CausalSelfAttention(const at::Tensor& x, const AttentionParameters& parameters,
                               const ModelConfig& config, const StageContext& context, int layer);

}  // namespace orthant
