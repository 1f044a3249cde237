// Ulysses sequence parallelism (DeepSpeed-Ulysses, arXiv 2309.14509, section 3): outside attention each rank
// of the sequence axis holds S/sp tokens of every head; inside it holds every token of heads/sp heads.
#pragma once

#include "orthant/comm/communicator.h"

namespace orthant {

// [B, S/sp, 3, h, D] -> [B, S, 3, h/sp, D]; rank i of the axis holds tokens i S/sp .. and receives heads i
// h/sp ... Differentiable (the dual exchange). The identity on one rank.
at::Tensor SequenceToHeads(const at::Tensor& qkv, Communicator& sequence, Label label);

// [B, S, h/sp, D] -> [B, S/sp, h, D]: the way back, differentiable.
at::Tensor HeadsToSequence(const at::Tensor& x, Communicator& sequence, Label label);

}  // namespace orthant
