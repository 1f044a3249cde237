// A parameter with its memory and its owner, as a unit would give it, for tests of the operations. The owner
// takes the memory back with the last contribution that was announced: what an operation reads afterwards is
// NaN.
#pragma once

#include <cmath>
#include <utility>

#include "ATen/ATen.h"
#include "orthant/nn/parameter.h"

namespace orthant::testing {

class OwnedParameter : public ParameterOwner {
 public:
  // Values of `dtype` from a normal distribution; the gradient is in `grad_dtype`.
  OwnedParameter(ParameterSpec spec, const at::Tensor& initial, at::ScalarType grad_dtype)
      : value(initial.clone()),
        grad(at::full(initial.sizes(), 1e4, initial.options().dtype(grad_dtype))),  // must be overwritten
        parameter(std::move(spec)) {
    parameter.Attach(value, grad, this);
  }
  explicit OwnedParameter(const std::vector<int64_t>& shape, at::ScalarType dtype = at::kDouble)
      : OwnedParameter(shape, dtype, dtype) {}
  OwnedParameter(const std::vector<int64_t>& shape, at::ScalarType dtype, at::ScalarType grad_dtype)
      : OwnedParameter(WholeSpec("p", shape, {}, true), at::randn(shape, at::kDouble).to(dtype), grad_dtype) {
  }

  // The memory stays for this many contributions; then `result` is the gradient, and values and gradient are
  // gone.
  void TakeBackAfter(int count) { left_ = count; }

  void NeedValues() override {}
  void NeedGradients() override {}
  void ContributionDone() override {
    ++contributions;
    if (--left_ != 0) return;
    result = grad.clone();
    value.fill_(NAN);
    grad.fill_(NAN);
  }

  at::Tensor value, grad, result;
  int contributions = 0;
  Parameter parameter;

 private:
  int left_ = 0;
};

}  // namespace orthant::testing
