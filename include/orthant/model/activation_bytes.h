// What one forward of a GPT-2 block, the embedding and the head keeps for backward, tensor by tensor: pure
// arithmetic, counted from the operations as they are (the same kind of count as arXiv 2205.05198, section 4,
// makes for Megatron).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "orthant/model/model_config.h"
#include "orthant/model/recompute_plan.h"

namespace orthant {

// One rank's microbatch.
struct ActivationShape {
  int64_t samples = 1;
  int64_t context = 0;                 // tokens that attention sees
  int64_t tokens = 0;                  // of a sample on this rank: context / sequence
  int64_t held = 0;                    // between blocks: tokens, or tokens / tensor with tensor_sequence
  int64_t hidden = 0;                  // H
  int64_t heads = 0, head_dim = 0;     // in attention, on this rank
  int64_t tensor = 1, sequence = 1;    // degrees
  int64_t element = 4, statistic = 4;  // bytes: of an activation, of a row's mean (fp32 under 16 bits)
  int64_t core = 4;                    // bytes of an activation in the attention core (fp32 under fp16)
  bool dropout = false;

  int64_t HeldRows() const { return samples * held; }
  int64_t Rows() const { return samples * tokens; }
  int64_t Held() const { return HeldRows() * hidden * element; }  // bytes of [b, S', H]
  int64_t Whole() const { return Rows() * hidden * element; }     // bytes of [b, S/sp, H]
  int64_t Features() const { return Whole() / tensor; }           // bytes of [b, S/sp, H/t]
  int64_t CoreFeatures() const { return Features() / element * core; }
  bool widened() const { return core != element; }
  int64_t Scores() const { return samples * heads * context * context; }  // elements of [b, h', S, S]
  // q, k and v are copied for a batched product unless one sample or one head makes their strides fit.
  bool CopiesHeads() const { return dropout && samples > 1 && heads > 1; }
};

ActivationShape ShapeOf(const ModelConfig& config, int64_t micro_batch, int tensor, int sequence,
                        bool tensor_sequence, at::ScalarType dtype);

struct SavedTensor {
  std::string operation;  // that keeps it: "mlp.fc"
  std::string tensor;     // "input"
  int64_t bytes = 0;
};

// Kept by one block from its forward to its backward, its input included; a tensor that two operations keep
// stands once.
std::vector<SavedTensor> SavedByBlock(const ActivationShape& shape, RecomputePlan::Kind recompute);
// By the attention core alone, beside q, k and v: what selective recompute drops.
std::vector<SavedTensor> SavedByAttention(const ActivationShape& shape);
// By the embedding, beside its output, which is the first block's input.
std::vector<SavedTensor> SavedByEmbedding(const ActivationShape& shape);
// By the final norm and the loss, the norm's input included: the last block's output.
std::vector<SavedTensor> SavedByHead(const ActivationShape& shape);

int64_t SumOf(const std::vector<SavedTensor>& saved);

}  // namespace orthant
