// The `optimizer` section: AdamW and its learning-rate schedule.
#pragma once

#include <string>
#include <vector>

#include "orthant/config/fields.h"

namespace orthant {

struct OptimizerConfig {
  double lr = 1.0e-3;
  double min_lr = 1.0e-4;
  int64_t warmup = 100;
  std::string decay = "cosine";  // cosine | linear | constant
  std::vector<double> betas = {0.9, 0.95};
  double eps = 1.0e-8;
  double weight_decay = 0.1;
};

void Describe(Fields& fields, OptimizerConfig& config);

}  // namespace orthant
