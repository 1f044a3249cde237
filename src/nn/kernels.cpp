#include "orthant/nn/kernels.h"

#include <utility>

namespace orthant {
namespace {

constinit thread_local bool aten_everywhere = false;

}  // namespace

bool OwnKernels(const at::Tensor& tensor) {
  return tensor.device().is_cpu() && !aten_everywhere;
}

AtenKernels::AtenKernels() : previous_(std::exchange(aten_everywhere, true)) {}

AtenKernels::~AtenKernels() {
  aten_everywhere = previous_;
}

}  // namespace orthant
