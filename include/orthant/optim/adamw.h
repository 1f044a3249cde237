// AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2), one pass over each unit's share.
#pragma once

#include <cstdint>
#include <vector>

#include "orthant/data_parallel/sharded_unit.h"
#include "orthant/optim/optimizer_config.h"

namespace orthant {

// Numbers of one update. `gradient_scale` multiplies every gradient first (clipping).
struct AdamWStep {
  double lr = 0.0, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.0;
  double gradient_scale = 1.0;
  int64_t step = 1;  // counts from 1; bias corrections use it
};

// Updates `value` and both moments in place from `gradient`: 1-D, contiguous, one floating dtype, equal
// lengths.
void AdamWUpdate(const at::Tensor& value, const at::Tensor& gradient, const at::Tensor& first_moment,
                 const at::Tensor& second_moment, const AdamWStep& step);

// Moments for what this rank updates of each unit (its slice under ZeRO-1). One rank's thread.
class AdamW {
 public:
  AdamW(std::vector<ShardedUnit*> units, const OptimizerConfig& config);
  // One update of every unit; gradients must be reduced. Decay applies to segments marked so.
  void Step(int64_t step, double lr, double gradient_scale);
  // Bytes of moments held by this rank.
  int64_t StateBytes() const;

 private:
  struct Moments {
    at::Tensor first, second;
  };
  std::vector<ShardedUnit*> units_;
  OptimizerConfig config_;
  std::vector<Moments> moments_;  // one a unit
};

}  // namespace orthant
