#include "orthant/nn/dropout.h"

#include <algorithm>

#include "ATen/ATen.h"
#include "ATen/OpMathType.h"
#include "ATen/Parallel.h"
#include "nn/keep_mask.h"
#include "orthant/core/philox.h"
#include "orthant/memory/account.h"
#include "orthant/nn/kernels.h"
#include "orthant/nn/widen.h"
#include "torch/csrc/autograd/custom_function.h"

namespace orthant {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What is drawn: from which stream, of which logical elements, with what probability to drop.
struct Draw {
  double p;
  PhiloxKey key;
  std::span<const int64_t> rows;
  DropoutWindow window;
};

constexpr int64_t kPiece = kWidenBlock;  // elements drawn at a time

// keep[i] = 1 or 0, for `count` elements from `first` of a sample's logical tensor.
void DrawKeep(const Draw& draw, int64_t row, int64_t first, int64_t count, uint8_t* keep) {
  uint32_t bits[kPiece];
  FillBits(draw.key, static_cast<uint64_t>(row), static_cast<uint64_t>(first),
           {bits, static_cast<size_t>(count)});
  const uint64_t threshold = BernoulliThreshold(draw.p);  // fp32 and fp64 runs drop the same elements
  const bool some = threshold > 0;
  const auto last_dropped = static_cast<uint32_t>(threshold - 1);
  for (int64_t i = 0; i < count; ++i) keep[i] = static_cast<uint8_t>(!(some & (bits[i] <= last_dropped)));
}

// y = x * (keep ? 1 / (1 - p) : 0), at most kPiece elements. A product, so that what is not finite stays so.
template <typename scalar_t>
void Apply(const scalar_t* __restrict x, const uint8_t* __restrict keep, int64_t count, double p,
           scalar_t* __restrict y) {
  const auto kept = static_cast<Wide<scalar_t>>(1.0 / (1.0 - p));
  if constexpr (std::is_same_v<scalar_t, Wide<scalar_t>>) {
    for (int64_t i = 0; i < count; ++i) y[i] = x[i] * (keep[i] != 0 ? kept : scalar_t(0));
  } else {
    float values[kPiece];
    Widen(x, values, count);
    for (int64_t i = 0; i < count; ++i) values[i] *= keep[i] != 0 ? kept : 0.0f;
    Narrow(values, y, count);
  }
}

template <typename scalar_t>
void DrawAndApply(const scalar_t* x, const Draw& draw, scalar_t* y, uint8_t* keep) {
  const DropoutWindow& w = draw.window;
  const int64_t run = w.count1 * w.count2;  // contiguous in the logical tensor
  const int64_t pieces = (run + kPiece - 1) / kPiece,
                runs = static_cast<int64_t>(draw.rows.size()) * w.count0;
  at::parallel_for(0, runs * pieces, /*grain_size=*/std::max<int64_t>(1, 16384 / std::min(run, kPiece)),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin; i < end; ++i) {
                       const int64_t r = i / pieces, within = i % pieces * kPiece;
                       const int64_t count = std::min(kPiece, run - within), at = r * run + within;
                       const int64_t row = draw.rows[r / w.count0], i0 = w.begin0 + r % w.count0;
                       DrawKeep(draw, row, (i0 * w.logical1 + w.begin1) * w.count2 + within, count,
                                keep + at);
                       Apply(x + at, keep + at, count, draw.p, y + at);
                     }
                   });
}

// The mask alone, where x is not dropped by this project's kernels.
void FillKeep(const at::Tensor& keep, const Draw& draw) {
  const DropoutWindow& w = draw.window;
  const KeepMask mask{
      draw.key.value, BernoulliThreshold(draw.p), w.logical1, w.begin0, w.count0, w.begin1, w.count1,
      w.count2};
  auto* to = keep.data_ptr<uint8_t>();
  if (!keep.device().is_cpu()) return FillKeepOnGpu(to, mask, draw.rows.data(), draw.rows.size());
  for (const int64_t row : draw.rows) {
    for (int64_t i = 0; i < mask.sample(); ++i) *to++ = Keeps(mask, row, i);
  }
}

// As Apply, rounded once.
at::Tensor AtenApply(const at::Tensor& x, const at::Tensor& keep, double p) {
  const at::ScalarType wide = at::toOpMathType(x.scalar_type());
  return x.to(wide).mul(keep.view(x.sizes()).to(wide)).mul_(1.0 / (1.0 - p)).to(x.scalar_type());
}

struct DropoutFunction : torch::autograd::Function<DropoutFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const Draw& draw) {
    const OperationScope operation("dropout");
    const at::Tensor x = input.contiguous();
    const at::Tensor keep = at::empty(x.sizes(), x.options().dtype(at::kByte).requires_grad(false));
    ctx->save_for_backward({keep});
    ctx->saved_data["p"] = draw.p;
    if (!OwnKernels(x)) {
      FillKeep(keep, draw);
      return AtenApply(x, keep, draw.p);
    }
    at::Tensor y = at::empty(x.sizes(), x.options().requires_grad(false));
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, x.scalar_type(), "dropout", [&] {
      DrawAndApply(x.const_data_ptr<scalar_t>(), draw, y.data_ptr<scalar_t>(), keep.data_ptr<uint8_t>());
    });
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const OperationScope operation("dropout");
    const at::Tensor keep = ctx->get_saved_variables()[0], dy = grads[0].contiguous();
    const double p = ctx->saved_data["p"].toDouble();
    if (!OwnKernels(dy)) return {AtenApply(dy, keep, p), at::Tensor()};
    at::Tensor dx = at::empty(dy.sizes(), dy.options());
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, dy.scalar_type(), "dropout_backward", [&] {
      const auto* from = dy.const_data_ptr<scalar_t>();
      const auto* mask = keep.const_data_ptr<uint8_t>();
      auto* to = dx.data_ptr<scalar_t>();
      at::parallel_for(0, dy.numel(), /*grain_size=*/32768, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i += kPiece)
          Apply(from + i, mask + i, std::min(kPiece, end - i), p, to + i);
      });
    });
    return {dx, at::Tensor()};
  }
};

}  // namespace

at::Tensor Dropout(const at::Tensor& x, double p, const DropoutKey& key, std::span<const int64_t> rows,
                   const DropoutWindow& window) {
  if (p == 0.0) return x;
  TORCH_CHECK(x.numel() == static_cast<int64_t>(rows.size()) * window.count0 * window.count1 * window.count2,
              "dropout window does not match the tensor");
  const PhiloxKey philox =
      DeriveKey(key.seed, {0x64726f70ULL, key.step, key.layer, static_cast<uint64_t>(key.site)});
  return DropoutFunction::apply(x, Draw{p, philox, rows, window});
}

}  // namespace orthant
