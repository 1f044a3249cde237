// The `model` section, and what follows from it alone: parameters, floating-point operations.
#pragma once

#include <cstdint>
#include <string>

#include "orthant/config/fields.h"

namespace orthant {

struct ModelConfig {
  std::string family = "gpt2";
  int64_t layers = 4;
  int64_t heads = 4;
  int64_t hidden = 128;
  int64_t context = 64;
  int64_t vocab = 0;  // 0: as many classes as the data's tokenizer has
  bool bias = false;
  double dropout = 0.0;
  bool tie_embeddings = true;
  std::string activation = "gelu";  // gelu (erf) | gelu_tanh
  double norm_eps = 1.0e-5;
  double init_std = 0.02;

  int64_t head_dim() const { return hidden / heads; }
};

void Describe(Fields& fields, ModelConfig& config);

// Logical parameters of the whole model (no padding, tied tensors once); `vocab` resolved.
int64_t CountParameters(const ModelConfig& config, int64_t vocab);

// Model FLOPs of forward and backward per token: 6 x (parameters in matrix products, the vocabulary
// projection included) + 6 x layers x hidden x context for causal attention, each product counted as two
// operations.
double FlopsPerToken(const ModelConfig& config, int64_t vocab);

}  // namespace orthant
