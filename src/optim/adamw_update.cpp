#include "orthant/optim/adamw_update.h"

#include <cmath>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "orthant/nn/kernels.h"
#include "orthant/nn/widen.h"

namespace orthant {
namespace {

// The step's numbers in the type of the arithmetic.
template <typename scalar_t>
struct Numbers {
  explicit Numbers(const AdamWStep& s)
      : beta1(static_cast<scalar_t>(s.beta1)),
        beta2(static_cast<scalar_t>(s.beta2)),
        rest1(static_cast<scalar_t>(1.0 - s.beta1)),
        rest2(static_cast<scalar_t>(1.0 - s.beta2)),
        scale(static_cast<scalar_t>(s.gradient_scale)),
        eps(static_cast<scalar_t>(s.eps)),
        keep(static_cast<scalar_t>(1.0 - s.lr * s.weight_decay)),
        rate(static_cast<scalar_t>(s.lr / (1.0 - std::pow(s.beta1, static_cast<double>(s.step))))),
        root(static_cast<scalar_t>(1.0 / std::sqrt(1.0 - std::pow(s.beta2, static_cast<double>(s.step))))) {}
  scalar_t beta1, beta2, rest1, rest2, scale, eps, keep, rate, root;
};

// Plain loops that compilers vectorise; memory-bound, so one pass over the arrays is all there is to gain.
// Two, on blocks that stay in cache, so that the decayed value is rounded before the step is taken off,
// whatever a compiler would fuse within one expression.
template <typename scalar_t>
void UpdateBlock(scalar_t* __restrict value, const scalar_t* __restrict gradient, scalar_t* __restrict first,
                 scalar_t* __restrict second, int64_t count, const Numbers<scalar_t>& s) {
  scalar_t decayed[kWidenBlock];
  for (int64_t i = 0; i < count; ++i) {
    const scalar_t g = gradient[i] * s.scale;
    first[i] = s.beta1 * first[i] + s.rest1 * g;
    second[i] = s.beta2 * second[i] + s.rest2 * g * g;
    decayed[i] = s.keep * value[i];
  }
  for (int64_t i = 0; i < count; ++i) {
    value[i] = decayed[i] - s.rate * first[i] / (std::sqrt(second[i]) * s.root + s.eps);
  }
}

// A 16-bit block in the type of the arithmetic, and back.
template <typename scalar_t, typename half_t>
void WidenTo(const half_t* from, scalar_t* to, int64_t count) {
  if constexpr (std::is_same_v<scalar_t, float>) {
    Widen(from, to, count);
  } else {
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]);
  }
}
template <typename scalar_t, typename half_t>
void NarrowTo(const scalar_t* from, half_t* to, int64_t count) {
  if constexpr (std::is_same_v<scalar_t, float>) {
    Narrow(from, to, count);
  } else {
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<half_t>(static_cast<float>(from[i]));
  }
}

// body(T{}) with T the dtype's type: bf16 or fp16.
template <typename Body>
void ForHalf(at::ScalarType dtype, const Body& body) {
  TORCH_CHECK(at::isReducedFloatingType(dtype), "a 16-bit type was expected, not ", dtype);
  AT_DISPATCH_REDUCED_FLOATING_TYPES(dtype, "adamw", [&] { body(scalar_t{}); });
}

// One thread's range, block by block, so that 16-bit elements are converted in cache.
template <typename scalar_t>
class Range {
 public:
  Range(const at::Tensor& master, const at::Tensor& gradient, const at::Tensor& first,
        const at::Tensor& second, const at::Tensor& value, const AdamWStep& step)
      : master_(master.data_ptr<scalar_t>()),
        first_(first.data_ptr<scalar_t>()),
        second_(second.data_ptr<scalar_t>()),
        gradient_(gradient),
        value_(value),
        numbers_(step) {}

  void Update(int64_t begin, int64_t end) const {
    const bool same = gradient_.scalar_type() == c10::CppTypeToScalarType<scalar_t>::value;
    scalar_t wide[kWidenBlock];
    for (int64_t i = begin; i < end; i += kWidenBlock) {
      const int64_t count = std::min(kWidenBlock, end - i);
      UpdateBlock(master_ + i, same ? gradient_.const_data_ptr<scalar_t>() + i : Gradient(i, count, wide),
                  first_ + i, second_ + i, count, numbers_);
      if (value_.defined()) RoundValue(i, count);
    }
  }

 private:
  const scalar_t* Gradient(int64_t begin, int64_t count, scalar_t* wide) const {
    ForHalf(gradient_.scalar_type(),
            [&](auto half) { WidenTo(gradient_.const_data_ptr<decltype(half)>() + begin, wide, count); });
    return wide;
  }
  void RoundValue(int64_t begin, int64_t count) const {
    ForHalf(value_.scalar_type(),
            [&](auto half) { NarrowTo(master_ + begin, value_.data_ptr<decltype(half)>() + begin, count); });
  }

  scalar_t *master_, *first_, *second_;
  const at::Tensor &gradient_, &value_;
  Numbers<scalar_t> numbers_;
};

// LibTorch's fused update, which wants all of one type and applies no scale of ours.
void AtenUpdate(const at::Tensor& master, const at::Tensor& gradient, const at::Tensor& first_moment,
                const at::Tensor& second_moment, const at::Tensor& value, const AdamWStep& s) {
  const at::ScalarType type = master.scalar_type();
  at::Tensor g = gradient.to(type);  // itself when it is of that type
  if (s.gradient_scale != 1.0) g = g.mul(s.gradient_scale);
  const at::Tensor step = at::full({}, static_cast<double>(s.step), master.options().dtype(at::kFloat));
  at::_fused_adamw_({master}, {g}, {first_moment}, {second_moment}, {}, {step}, s.lr, s.beta1, s.beta2,
                    s.weight_decay, s.eps, /*amsgrad=*/false, /*maximize=*/false);
  if (value.defined()) value.copy_(master);
}

}  // namespace

void AdamWUpdate(const at::Tensor& master, const at::Tensor& gradient, const at::Tensor& first_moment,
                 const at::Tensor& second_moment, const at::Tensor& value, const AdamWStep& step) {
  if (!OwnKernels(master)) return AtenUpdate(master, gradient, first_moment, second_moment, value, step);
  AT_DISPATCH_FLOATING_TYPES(master.scalar_type(), "adamw", [&] {
    const Range<scalar_t> range(master, gradient, first_moment, second_moment, value, step);
    at::parallel_for(0, master.numel(), /*grain_size=*/32768,
                     [&](int64_t begin, int64_t end) { range.Update(begin, end); });
  });
}

}  // namespace orthant
