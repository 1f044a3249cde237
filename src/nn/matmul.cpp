#include "orthant/nn/matmul.h"

#include "ATen/ATen.h"

namespace orthant {
namespace {

// [..., K] -> [N, K]
at::Tensor Rows(const at::Tensor& x) { return x.reshape({-1, x.size(-1)}); }

std::vector<int64_t> WithLast(const at::Tensor& x, int64_t last) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = last;
  return shape;
}

}  // namespace

at::Tensor LinearForward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor w = weight.view({-1, x.size(-1)});
  const at::Tensor y =
      bias.defined() ? at::addmm(bias.view({-1}), Rows(x), w.t()) : at::mm(Rows(x), w.t());
  return y.view(WithLast(x, w.size(0)));
}

at::Tensor LinearBackwardInput(const at::Tensor& dy, const at::Tensor& weight) {
  const at::Tensor w = weight.view({dy.size(-1), -1});
  return at::mm(Rows(dy), w).view(WithLast(dy, w.size(1)));
}

void LinearBackwardWeight(const at::Tensor& dy, const at::Tensor& x, Parameter& weight, Parameter* bias) {
  at::Tensor grad = weight.grad().view({dy.size(-1), x.size(-1)});
  if (weight.AddsToGrad()) {
    grad.addmm_(Rows(dy).t(), Rows(x));
  } else {
    at::mm_out(grad, Rows(dy).t(), Rows(x));
  }
  weight.ContributionDone();
  if (bias != nullptr) BiasBackward(dy, *bias);
}

void BiasBackward(const at::Tensor& dy, Parameter& bias) {
  at::Tensor grad = bias.grad().view({-1});
  if (bias.AddsToGrad()) {
    grad.add_(Rows(dy).sum(0));
  } else {
    at::sum_out(grad, Rows(dy), 0);
  }
  bias.ContributionDone();
}

}  // namespace orthant
