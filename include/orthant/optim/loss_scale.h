// Dynamic loss scaling for fp16 (Micikevicius et al., arXiv 1710.03740, section 3.2): the loss is multiplied
// so that small gradients are not rounded to 0, and the scale follows what the gradients bear. Pure.
#pragma once

#include <cstdint>

#include "orthant/config/fields.h"

namespace orthant {

struct LossScaleConfig {
  double initial = 65536;
  int64_t window = 1000;
  int64_t hysteresis = 2;
  double factor = 2;
  double smallest = 1;
};

// The section `train.loss_scale`. Rule between keys, for the caller: smallest <= initial.
void Describe(Fields& fields, LossScaleConfig& config);

class LossScale {
 public:
  // What a checkpoint holds.
  struct State {
    double value = 1.0;
    int64_t finite_steps = 0;  // in a row, since the scale last changed
    int64_t tolerance = 0;     // non-finite steps to come until the scale falls; 0: each makes it fall
    int64_t skipped = 0;       // steps whose update was skipped, in all
    friend bool operator==(const State&, const State&) = default;
  };
  enum class Verdict {
    kApply,  // update the parameters
    kSkip,   // throw the gradients away and go on
    kStop,   // not finite, and no smaller scale is left to try
  };

  // Inactive (fp64, fp32, bf16): the scale is 1 for ever and a step that is not finite stops the run.
  LossScale(const LossScaleConfig& config, bool active);

  // What the loss of the next step is multiplied by; its gradients are divided by it.
  double value() const { return state_.value; }
  bool active() const { return active_; }
  // Steps skipped so far.
  int64_t skipped() const { return state_.skipped; }

  // After a step's gradients are known to be `finite` or not, on every rank alike: what to do with them. May
  // change value(), for the next step.
  Verdict After(bool finite);

  const State& state() const { return state_; }
  void Restore(const State& state) { state_ = state; }

 private:
  LossScaleConfig config_;
  bool active_;
  State state_;
};

}  // namespace orthant
