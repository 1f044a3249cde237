#include "orthant/nn/matmul.h"

#include <optional>
#include <string_view>

#include "ATen/ATen.h"
#include "ATen/core/dispatch/Dispatcher.h"
#include "c10/core/GradMode.h"
#include "orthant/nn/accumulate.h"
#include "orthant/nn/kernels.h"

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

// Products of bf16 in one instruction; LibTorch reaches them through oneDNN. Elsewhere than on x86 it knows
// best.
bool HasBFloat16Products() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return true;
#endif
}

// Which library multiplies. A rule, not a measurement at start: two runs must take the same kernels. Figures
// are in docs/benchmarks.md.
enum class Route {
  kAten,          // at::mm and its kin
  kOneDnn,        // oneDNN's inner product
  kThroughFloat,  // converted to fp32, multiplied, rounded
};

// LibTorch's at::mm takes MKL for fp32, whose AVX-512 kernels are kept from other makers' processors;
// oneDNN's are not, and were 1.0 to 2.2 times as fast where measured. bf16 by at::mm is oneDNN's, twice as
// fast again, given the instructions. For half at::mm has plain loops, 10 to 100 times slower than going
// through fp32.
Route RouteOf(const at::Tensor& a) {
  static const bool one_dnn = at::globalContext().hasMKLDNN() && at::globalContext().userEnabledMkldnn();
  static const bool one_dnn_float = one_dnn && HasAvx512(), one_dnn_bf16 = one_dnn && HasBFloat16Products();
  if (!OwnKernels(a)) return Route::kAten;
  switch (a.scalar_type()) {
    case at::kFloat:
      return one_dnn_float && a.numel() > 0 ? Route::kOneDnn : Route::kAten;
    case at::kBFloat16:
      return one_dnn_bf16 ? Route::kAten : Route::kThroughFloat;
    case at::kHalf:
      return Route::kThroughFloat;
    default:
      return Route::kAten;
  }
}

// a [N, K], weight [M, K], bias [M] or undefined -> a weight^T + bias; any strides.
at::Tensor OneDnnLinear(const at::Tensor& a, const at::Tensor& weight, const at::Tensor& bias) {
  using Signature =
      at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                 c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<Signature>();
  const c10::NoGradGuard no_grad;
  return op.call(a, weight, bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt, "none",
                 c10::List<std::optional<at::Scalar>>(), "");
}

}  // namespace

at::ScalarType ProductType(const at::Tensor& a) {
  return RouteOf(a) == Route::kThroughFloat ? at::kFloat : a.scalar_type();
}

bool MultipliesByOneDnn(at::ScalarType dtype) {
  return RouteOf(at::empty({1, 1}, dtype)) == Route::kOneDnn;
}

at::Tensor MatMul(const at::Tensor& a, const at::Tensor& b) {
  switch (RouteOf(a)) {
    case Route::kOneDnn:
      return OneDnnLinear(a, b.t(), {});
    case Route::kThroughFloat:
      return MatMul(a.to(at::kFloat), b.to(at::kFloat)).to(a.scalar_type());
    default:
      return at::mm(a, b);
  }
}

void AddProductToGrad(const at::Tensor& a, const at::Tensor& b, Parameter& parameter) {
  const Route route = RouteOf(a);
  if (route == Route::kThroughFloat) return AddProductToGrad(a.to(at::kFloat), b.to(at::kFloat), parameter);
  const bool add = parameter.AddsToGrad();
  at::Tensor grad = parameter.grad().view({a.size(0), b.size(1)});
  if (route == Route::kOneDnn || grad.scalar_type() != a.scalar_type()) {
    AddOrCopy(grad, MatMul(a, b), add);
  } else if (add) {
    grad.addmm_(a, b);
  } else {
    at::mm_out(grad, a, b);
  }
}

at::Tensor LinearForward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor w = weight.view({-1, x.size(-1)}), rows = Rows(x);
  const at::Tensor b = bias.defined() ? bias.view({-1}) : bias;
  const std::vector<int64_t> shape = WithLast(x, w.size(0));
  switch (RouteOf(rows)) {
    case Route::kOneDnn:
      return OneDnnLinear(rows, w, b).view(shape);
    case Route::kThroughFloat:
      return LinearForward(rows.to(at::kFloat), w.to(at::kFloat), b.defined() ? b.to(at::kFloat) : b)
          .to(x.scalar_type())
          .view(shape);
    default:
      return (b.defined() ? at::addmm(b, rows, w.t()) : at::mm(rows, w.t())).view(shape);
  }
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
  const at::Tensor rows = Rows(dy);
  const bool add = bias.AddsToGrad();
  at::Tensor grad = bias.grad().view({-1});
  if (add || grad.scalar_type() != rows.scalar_type() || at::isReducedFloatingType(rows.scalar_type())) {
    AddOrCopy(grad, SumOfFirstDim(rows), add);
  } else {
    at::sum_out(grad, rows, 0);
  }
  bias.ContributionDone();
}

}  // namespace orthant
