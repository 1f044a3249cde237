#include "orthant/nn/finite_probe.h"

#include "ATen/ATen.h"

namespace orthant {

void FiniteProbe::Check(const ProbeMoment& moment, const std::string& what, const at::Tensor& tensor) {
  if (moment.Key() >= key_ || tensor.isfinite().all().item<bool>()) return;
  key_ = moment.Key();
  what_ = what;
}

}  // namespace orthant
