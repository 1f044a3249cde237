#include "orthant/nn/layer_norm.h"

#include "ATen/ATen.h"
#include "orthant/nn/accumulate.h"
#include "orthant/nn/pointer.h"
#include "torch/csrc/autograd/custom_function.h"

namespace orthant {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// 16-bit weights as fp32: LibTorch then keeps the rows' statistics, and returns the weights' gradients, in
// fp32 too.
at::Tensor WideValue(const Parameter* parameter) {
  if (parameter == nullptr) return {};
  const at::Tensor& value = parameter->value();
  return at::isReducedFloatingType(value.scalar_type()) ? value.to(at::kFloat) : value;
}

void AddTo(Parameter& parameter, const at::Tensor& grad) {
  AddToGrad(parameter, grad);
  parameter.ContributionDone();
}

struct LayerNormFunction : torch::autograd::Function<LayerNormFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, Parameter* weight, Parameter* bias,
                            double eps) {
    auto [y, mean, rstd] =
        at::native_layer_norm(x, x.sizes().slice(x.dim() - 1), WideValue(weight), WideValue(bias), eps);
    ctx->save_for_backward({x, mean, rstd});
    SavePointer(*ctx, "weight", weight);
    SavePointer(*ctx, "bias", bias);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    auto* weight = LoadPointer<Parameter>(*ctx, "weight");
    auto* bias = LoadPointer<Parameter>(*ctx, "bias");
    const at::Tensor& x = saved[0];
    auto [dx, dweight, dbias] = at::native_layer_norm_backward(
        grads[0].contiguous(), x, x.sizes().slice(x.dim() - 1), saved[1], saved[2], WideValue(weight),
        WideValue(bias), {true, true, bias != nullptr});
    AddTo(*weight, dweight);
    if (bias != nullptr) AddTo(*bias, dbias);
    return {dx, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor LayerNorm(const at::Tensor& x, Parameter& weight, Parameter* bias, double eps) {
  return LayerNormFunction::apply(x, &weight, bias, eps);
}

}  // namespace orthant
