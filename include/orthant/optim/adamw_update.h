// The arithmetic of AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2) on flat tensors, in one
// pass, with the rounding of 16-bit values from their master (Micikevicius et al., arXiv 1710.03740,
// section 3.1) in the same.
#pragma once

#include <cstdint>

#include "ATen/core/Tensor.h"

namespace orthant {

// Numbers of one update. `gradient_scale` multiplies every gradient first (clipping, and 1 / loss scale).
struct AdamWStep {
  double lr = 0.0, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.0;
  double gradient_scale = 1.0;
  int64_t step = 1;  // counts from 1; bias corrections use it
};

// Updates `master` and both moments in place from `gradient`. All 1-D, contiguous, of equal lengths. Master
// and moments are fp64 or fp32, all alike; the gradient is of the same type, bf16 or fp16. `value` is
// undefined when the master is the value itself; else it is bf16 or fp16 and receives the master, rounded to
// nearest.
void AdamWUpdate(const at::Tensor& master, const at::Tensor& gradient, const at::Tensor& first_moment,
                 const at::Tensor& second_moment, const at::Tensor& value, const AdamWStep& step);

}  // namespace orthant
