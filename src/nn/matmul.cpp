#include "orthant/nn/matmul.h"

#include <optional>
#include <string_view>

#include "ATen/ATen.h"
#include "ATen/core/dispatch/Dispatcher.h"

namespace orthant {
namespace {

// [..., K] -> [N, K]
at::Tensor Rows(const at::Tensor& x) {
  return x.reshape({-1, x.size(-1)});
}

std::vector<int64_t> WithLast(const at::Tensor& x, int64_t last) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = last;
  return shape;
}

bool HasAvx512() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") != 0;
#else
  return false;
#endif
}

// LibTorch's at::mm takes MKL for fp32, whose AVX-512 kernels are kept from other makers' processors;
// oneDNN's are not, and were 1.0 to 2.2 times as fast where measured (docs/benchmarks.md). A rule, not a
// measurement at start: two runs must take the same kernels.
bool UseOneDnn(const at::Tensor& a) {
  static const bool available =
      at::globalContext().hasMKLDNN() && at::globalContext().userEnabledMkldnn() && HasAvx512();
  return available && a.scalar_type() == at::kFloat && a.numel() > 0;
}

// a [N, K], weight [M, K], bias [M] or undefined -> a weight^T + bias; any strides.
at::Tensor OneDnnLinear(const at::Tensor& a, const at::Tensor& weight, const at::Tensor& bias) {
  using Signature =
      at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                 c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<Signature>();
  const at::NoGradGuard no_grad;
  return op.call(a, weight, bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt, "none",
                 c10::List<std::optional<at::Scalar>>(), "");
}

}  // namespace

at::Tensor MatMul(const at::Tensor& a, const at::Tensor& b) {
  return UseOneDnn(a) ? OneDnnLinear(a, b.t(), {}) : at::mm(a, b);
}

void AddProductToGrad(const at::Tensor& a, const at::Tensor& b, Parameter& parameter) {
  const at::Tensor grad = parameter.grad().view({a.size(0), b.size(1)});
  const bool add = parameter.AddsToGrad();
  if (UseOneDnn(a)) {
    const at::Tensor product = MatMul(a, b);
    add ? grad.add_(product) : grad.copy_(product);
  } else if (add) {
    grad.addmm_(a, b);
  } else {
    at::Tensor out = grad;
    at::mm_out(out, a, b);
  }
}

at::Tensor LinearForward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor w = weight.view({-1, x.size(-1)}), rows = Rows(x);
  const at::Tensor b = bias.defined() ? bias.view({-1}) : bias;
  const at::Tensor y = UseOneDnn(rows) ? OneDnnLinear(rows, w, b)
                       : b.defined()   ? at::addmm(b, rows, w.t())
                                       : at::mm(rows, w.t());
  return y.view(WithLast(x, w.size(0)));
}

at::Tensor LinearBackwardInput(const at::Tensor& dy, const at::Tensor& weight) {
  const at::Tensor w = weight.view({dy.size(-1), -1});
  return MatMul(Rows(dy), w).view(WithLast(dy, w.size(1)));
}

void LinearBackwardWeight(const at::Tensor& dy, const at::Tensor& x, Parameter& weight, Parameter* bias) {
  AddProductToGrad(Rows(dy).t(), Rows(x), weight);
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
