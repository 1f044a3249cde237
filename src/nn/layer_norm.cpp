#include "orthant/nn/layer_norm.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "orthant/memory/account.h"
#include "orthant/nn/accumulate.h"
#include "orthant/nn/kernels.h"
#include "orthant/nn/pointer.h"
#include "orthant/nn/widen.h"
#include "torch/csrc/autograd/custom_function.h"

namespace orthant {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// 16-bit weights as fp32: on the processor LibTorch then keeps the rows' statistics in fp32 too. On a GPU it
// always does, and wants the weights in x's type.
at::Tensor ValueFor(const Parameter* parameter, const at::Tensor& x) {
  if (parameter == nullptr) return {};
  const at::Tensor& value = parameter->value();
  return at::isReducedFloatingType(value.scalar_type()) && OwnKernels(x) ? value.to(at::kFloat) : value;
}

void AddTo(Parameter& parameter, const at::Tensor& grad) {
  AddToGrad(parameter, grad);
  parameter.ContributionDone();
}

// sums[0] = the weight's gradient, sums[1] = the bias's, both [H] and in fp32, of 16-bit x and dy [N, H];
// mean and rstd [N]. LibTorch's kernel adds rows up in 16 bits, which loses all but the first few hundred.
// Threads share the columns.
template <typename scalar_t>
void SumParameterGradients(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& mean,
                           const at::Tensor& rstd, const at::Tensor& sums) {
  constexpr int64_t kColumns = 128;
  const int64_t width = x.size(-1), rows = x.numel() / width, blocks = (width + kColumns - 1) / kColumns;
  const auto *dy_data = dy.const_data_ptr<scalar_t>(), *x_data = x.const_data_ptr<scalar_t>();
  const auto *mean_data = mean.const_data_ptr<float>(), *rstd_data = rstd.const_data_ptr<float>();
  float* out = sums.data_ptr<float>();
  at::parallel_for(0, blocks, std::max<int64_t>(1, 16384 / (kColumns * std::max<int64_t>(1, rows))),
                   [&](int64_t first, int64_t last) {
                     for (int64_t b = first; b < last; ++b) {
                       const int64_t begin = b * kColumns, count = std::min(kColumns, width - begin);
                       float weight[kColumns] = {}, bias[kColumns] = {}, g[kColumns], value[kColumns];
                       for (int64_t r = 0; r < rows; ++r) {
                         Widen(dy_data + r * width + begin, g, count);
                         Widen(x_data + r * width + begin, value, count);
                         const float m = mean_data[r], s = rstd_data[r];
                         for (int64_t c = 0; c < count; ++c) weight[c] += g[c] * ((value[c] - m) * s);
                         for (int64_t c = 0; c < count; ++c) bias[c] += g[c];
                       }
                       std::copy(weight, weight + count, out + begin);
                       std::copy(bias, bias + count, out + width + begin);
                     }
                   });
}

// The same of LibTorch's kernels: in fp32 throughout. -> the gradients of weight and bias [H].
std::pair<at::Tensor, at::Tensor> AtenParameterGradients(const at::Tensor& dy, const at::Tensor& x,
                                                         const at::Tensor& mean, const at::Tensor& rstd,
                                                         const at::Tensor& gain) {
  const at::Tensor weight = gain.to(at::kFloat);
  auto [dx, dweight, dbias] = at::native_layer_norm_backward(
      dy.to(at::kFloat), x.to(at::kFloat), x.sizes().slice(x.dim() - 1), mean.to(at::kFloat),
      rstd.to(at::kFloat), weight, /*bias=*/weight, {false, true, true});
  return {dweight, dbias};
}

struct LayerNormFunction : torch::autograd::Function<LayerNormFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, Parameter* weight, Parameter* bias,
                            double eps) {
    const OperationScope operation("layer_norm");
    // One after the other: under ZeRO 3 each may be a gather, and all ranks read in the same order.
    const at::Tensor gain = ValueFor(weight, x);
    const at::Tensor shift = ValueFor(bias, x);
    auto [y, mean, rstd] = at::native_layer_norm(x, x.sizes().slice(x.dim() - 1), gain, shift, eps);
    ctx->save_for_backward({x, mean, rstd});
    SavePointer(*ctx, "weight", weight);
    SavePointer(*ctx, "bias", bias);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const OperationScope operation("layer_norm");
    const variable_list saved = ctx->get_saved_variables();
    auto* weight = LoadPointer<Parameter>(*ctx, "weight");
    auto* bias = LoadPointer<Parameter>(*ctx, "bias");
    const at::Tensor& x = saved[0];
    const at::Tensor dy = grads[0].contiguous();
    const bool narrow = at::isReducedFloatingType(x.scalar_type());
    const at::Tensor gain = ValueFor(weight, x);
    const at::Tensor shift = ValueFor(bias, x);
    auto [dx, dweight, dbias] =
        at::native_layer_norm_backward(dy, x, x.sizes().slice(x.dim() - 1), saved[1], saved[2], gain, shift,
                                       {true, !narrow, !narrow && bias != nullptr});
    if (narrow && !OwnKernels(x)) {
      std::tie(dweight, dbias) = AtenParameterGradients(dy, x, saved[1], saved[2], gain);
    } else if (narrow) {
      const at::Tensor sums = at::empty({2, x.size(-1)}, x.options().dtype(at::kFloat).requires_grad(false));
      AT_DISPATCH_REDUCED_FLOATING_TYPES(x.scalar_type(), "layer_norm", [&] {
        SumParameterGradients<scalar_t>(dy, x.contiguous(), saved[1], saved[2], sums);
      });
      dweight = sums[0];
      dbias = sums[1];
    }
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
