#include "orthant/nn/dropout.h"

#include <algorithm>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "orthant/core/philox.h"
#include "torch/csrc/autograd/custom_function.h"

namespace orthant {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Mask of x's dtype and shape: 0 or 1 / (1 - p).
template <typename scalar_t>
void FillMask(scalar_t* mask, double p, PhiloxKey key, std::span<const int64_t> rows,
              const DropoutWindow& w) {
  const uint64_t threshold = BernoulliThreshold(p);  // fp32 and fp64 runs drop the same elements
  const auto kept = static_cast<scalar_t>(1.0 / (1.0 - p));
  const int64_t run = w.count1 * w.count2;  // contiguous in the logical tensor
  const int64_t runs = static_cast<int64_t>(rows.size()) * w.count0;
  at::parallel_for(0, runs, /*grain_size=*/std::max<int64_t>(1, 16384 / run),
                   [&](int64_t begin, int64_t end) {
                     std::vector<uint32_t> bits(run);
                     for (int64_t r = begin; r < end; ++r) {
                       const int64_t row = rows[r / w.count0], i0 = w.begin0 + r % w.count0;
                       FillBits(key, static_cast<uint64_t>(row),
                                static_cast<uint64_t>((i0 * w.logical1 + w.begin1) * w.count2), bits);
                       scalar_t* out = mask + r * run;
                       for (int64_t i = 0; i < run; ++i) out[i] = bits[i] < threshold ? scalar_t(0) : kept;
                     }
                   });
}

struct DropoutFunction : torch::autograd::Function<DropoutFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& mask) {
    ctx->save_for_backward({mask});
    return x * mask;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {grads[0] * ctx->get_saved_variables()[0], at::Tensor()};
  }
};

}  // namespace

at::Tensor Dropout(const at::Tensor& x, double p, const DropoutKey& key, std::span<const int64_t> rows,
                   const DropoutWindow& window) {
  if (p == 0.0) return x;
  const PhiloxKey philox =
      DeriveKey(key.seed, {0x64726f70ULL, key.step, key.layer, static_cast<uint64_t>(key.site)});
  at::Tensor mask = at::empty(x.sizes(), x.options().requires_grad(false));
  TORCH_CHECK(
      mask.numel() == static_cast<int64_t>(rows.size()) * window.count0 * window.count1 * window.count2,
      "dropout window does not match the tensor");
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "dropout_mask",
                             [&] { FillMask(mask.data_ptr<scalar_t>(), p, philox, rows, window); });
  return DropoutFunction::apply(x, mask);
}

}  // namespace orthant
