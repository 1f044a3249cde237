#include "orthant/optim/gradient_norm.h"

#include <algorithm>
#include <cmath>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "orthant/nn/kernels.h"
#include "orthant/nn/widen.h"

namespace orthant {
namespace {

constexpr int64_t kBlock = 8192;
constexpr int kLanes = 16;

template <typename scalar_t>
double BlockSum(const scalar_t* values, int64_t count) {
  double lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) lane[l] += static_cast<double>(values[i + l]) * values[i + l];
  }
  for (; i < count; ++i) lane[0] += static_cast<double>(values[i]) * values[i];
  double sum = 0.0;
  for (double l : lane) sum += l;
  return sum;
}

// 16-bit values are widened a block at a time.
template <typename scalar_t>
double WideBlockSum(const scalar_t* values, int64_t count) {
  if constexpr (std::is_same_v<scalar_t, Wide<scalar_t>>) {
    return BlockSum(values, count);
  } else {
    float wide[kBlock];
    Widen(values, wide, count);
    return BlockSum(wide, count);
  }
}

}  // namespace

double SumOfSquares(const at::Tensor& values) {
  const int64_t count = values.numel(), blocks = (count + kBlock - 1) / kBlock;
  std::vector<double> sums(blocks);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, values.scalar_type(), "sum_of_squares", [&] {
    const auto* data = values.const_data_ptr<scalar_t>();
    at::parallel_for(0, blocks, /*grain_size=*/8, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        sums[b] = WideBlockSum(data + b * kBlock, std::min(kBlock, count - b * kBlock));
      }
    });
  });
  double total = 0.0;
  for (double s : sums) total += s;
  return total;
}

namespace {

// Of LibTorch's kernels: a number on the tensor's device, so that many are waited for at once.
at::Tensor AtenSumOfSquares(const at::Tensor& values) {
  return at::linalg_vector_norm(values, 2, std::nullopt, /*keepdim=*/false, at::kDouble).square();
}

}  // namespace

double SquaredNormPart(const std::vector<ShardedUnit*>& units) {
  double sum = 0.0;
  at::Tensor on_device;
  for (const ShardedUnit* unit : units) {
    if (!unit->first_replica()) continue;
    const at::Tensor gradients = unit->gradients();
    for (const Segment& s : unit->segments()) {
      if (!s.counts_in_norm) continue;
      const at::Tensor counted = gradients.narrow(0, s.begin, s.end - s.begin);
      if (OwnKernels(counted)) {
        sum += SumOfSquares(counted);
      } else {
        on_device =
            on_device.defined() ? on_device.add_(AtenSumOfSquares(counted)) : AtenSumOfSquares(counted);
      }
    }
  }
  return on_device.defined() ? sum + on_device.item<double>() : sum;
}

double ClipScale(double norm, double limit) {
  return limit > 0.0 ? std::min(1.0, limit / (norm + 1e-6)) : 1.0;
}

}  // namespace orthant
