#include "orthant/optim/loss_scale.h"

#include <algorithm>

namespace orthant {

void Describe(Fields& f, LossScaleConfig& c) {
  f.Real("initial", &c.initial)
      .Above(0)
      .Doc(
          "What the loss is multiplied by at first, under fp16; gradients are divided by it before their "
          "use.");
  f.Integer("window", &c.window)
      .AtLeast(1)
      .Unit("steps")
      .Doc("Finite steps in a row after which the scale doubles.");
  f.Integer("hysteresis", &c.hysteresis)
      .AtLeast(1)
      .Unit("steps")
      .Doc(
          "Non-finite steps, since the scale last grew, before it halves; each one after them halves it "
          "again.");
  f.Real("factor", &c.factor).Above(1).Doc("What doubling and halving multiply and divide by.");
  f.Real("smallest", &c.smallest)
      .Above(0)
      .Doc("The run stops, naming the first non-finite tensor, when the scale would fall below this.");
}

LossScale::LossScale(const LossScaleConfig& config, bool active) : config_(config), active_(active) {
  if (active) state_ = {.value = config.initial, .tolerance = config.hysteresis};
}

LossScale::Verdict LossScale::After(bool finite) {
  if (!active_) return finite ? Verdict::kApply : Verdict::kStop;
  if (finite) {
    if (++state_.finite_steps < config_.window) return Verdict::kApply;
    state_.finite_steps = 0;
    state_.tolerance = config_.hysteresis;
    state_.value *= config_.factor;
    return Verdict::kApply;
  }
  state_.finite_steps = 0;
  state_.tolerance = std::max<int64_t>(0, state_.tolerance - 1);
  if (state_.tolerance == 0) {
    if (state_.value / config_.factor < config_.smallest) return Verdict::kStop;
    state_.value /= config_.factor;
  }
  ++state_.skipped;
  return Verdict::kSkip;
}

}  // namespace orthant
