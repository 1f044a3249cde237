#include "orthant/optim/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace orthant {

void Describe(Fields& f, OptimizerConfig& c) {
  f.Real("lr", &c.lr).AtLeast(0).Doc("Highest learning rate, reached at the end of the warm-up.");
  f.Real("min_lr", &c.min_lr)
      .AtLeast(0)
      .Doc("Learning rate at the last step of a cosine or linear decay; at most lr.");
  f.Integer("warmup", &c.warmup).AtLeast(0).Unit("steps").Doc("Steps of linear warm-up from 0 to lr.");
  f.Choice("decay", &c.decay, {"cosine", "linear", "constant"})
      .Doc("Shape of the schedule after the warm-up.");
  f.Reals("betas", &c.betas)
      .AtLeast(0)
      .Below(1)
      .Count(2)
      .Doc("Decay rates of AdamW's first and second moments.");
  f.Real("eps", &c.eps).Above(0).Doc("AdamW's epsilon, added to the root of the second moment.");
  f.Real("weight_decay", &c.weight_decay)
      .AtLeast(0)
      .Doc("Decoupled weight decay, on matrices only (not on biases and norms).");
}

double LearningRate(const OptimizerConfig& config, int64_t step, int64_t steps) {
  if (step <= config.warmup)
    return config.lr * static_cast<double>(step) / static_cast<double>(config.warmup);
  if (config.decay == "constant") return config.lr;
  const double span = static_cast<double>(std::max<int64_t>(1, steps - config.warmup));
  const double progress = std::min(1.0, static_cast<double>(step - config.warmup) / span);
  const double share =
      config.decay == "linear" ? 1.0 - progress : 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  return config.min_lr + share * (config.lr - config.min_lr);
}

}  // namespace orthant
