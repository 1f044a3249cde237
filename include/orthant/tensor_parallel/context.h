// What every tensor-parallel layer of a stage shares. Also the two layouts an activation may have between
// blocks: whole [B, S, H] on every tensor rank, or, with tensor_sequence, a slice [B, S/t, H] (arXiv
// 2205.05198, section 4).
#pragma once

#include "orthant/comm/communicator.h"
#include "orthant/nn/step_position.h"

namespace orthant {

struct TensorContext {
  Communicator* group = nullptr;           // the tensor axis; outlives the layers
  bool sequence = false;                   // activations between blocks are sharded along S
  const StepPosition* position = nullptr;  // for labels

  Label At(const char* what, int layer) const {
    return Label(what, layer, position == nullptr ? -1 : position->microbatch);
  }
};

// [B, S/t, H] on each tensor rank -> [B, S, H]. No autograd.
at::Tensor GatherSequence(const at::Tensor& x, Communicator& group, Label label);
// [B, S, H] summands on each tensor rank -> this rank's [B, S/t, H] of the sum. No autograd.
at::Tensor ReduceScatterSequence(const at::Tensor& x, Communicator& group, Label label);

}  // namespace orthant
