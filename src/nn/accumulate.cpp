#include "orthant/nn/accumulate.h"

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "orthant/nn/kernels.h"
#include "orthant/nn/widen.h"

namespace orthant {
namespace {

// to += from, element by element, where one of the two is fp32 and the other 16-bit.
template <typename To, typename From>
void AddRange(To* to, const From* from, int64_t count) {
  float sum[kWidenBlock], summand[kWidenBlock];
  for (int64_t begin = 0; begin < count; begin += kWidenBlock) {
    const int64_t n = std::min(kWidenBlock, count - begin);
    Widen(to + begin, sum, n);
    Widen(from + begin, summand, n);
    for (int64_t i = 0; i < n; ++i) sum[i] += summand[i];
    Narrow(sum, to + begin, n);
  }
}

template <typename To, typename From>
void AddMixed(const at::Tensor& sum, const at::Tensor& summand) {
  auto* to = sum.data_ptr<To>();
  const auto* from = summand.const_data_ptr<From>();
  at::parallel_for(0, sum.numel(), /*grain_size=*/32768,
                   [&](int64_t begin, int64_t end) { AddRange(to + begin, from + begin, end - begin); });
}

// Threads share the columns: the rows of each are added in their order, whatever the number of threads.
template <typename T>
void SumColumns(const T* x, int64_t rows, int64_t columns, float* sums) {
  constexpr int64_t kColumns = 64;
  const int64_t blocks = (columns + kColumns - 1) / kColumns;
  const int64_t grain = std::max<int64_t>(1, 32768 / (kColumns * std::max<int64_t>(1, rows)));
  at::parallel_for(0, blocks, grain, [&](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b) {
      const int64_t begin = b * kColumns, count = std::min(kColumns, columns - begin);
      float sum[kColumns] = {}, row[kColumns];
      for (int64_t r = 0; r < rows; ++r) {
        Widen(x + r * columns + begin, row, count);
        for (int64_t c = 0; c < count; ++c) sum[c] += row[c];
      }
      std::copy(sum, sum + count, sums + begin);
    }
  });
}

}  // namespace

void AddOrCopy(const at::Tensor& sum, const at::Tensor& summand, bool add) {
  const at::ScalarType to = sum.scalar_type(), from = summand.scalar_type();
  const bool mixed = (to == at::kFloat && at::isReducedFloatingType(from)) ||
                     (from == at::kFloat && at::isReducedFloatingType(to));
  const at::Tensor values = summand.contiguous();
  if (!add) {
    sum.copy_(values);
  } else if (to == from || (mixed && !OwnKernels(sum))) {
    sum.add_(values);  // of two types: in fp32, rounded once
  } else if (to == at::kFloat && from == at::kBFloat16) {
    AddMixed<float, c10::BFloat16>(sum, values);
  } else if (to == at::kFloat && from == at::kHalf) {
    AddMixed<float, c10::Half>(sum, values);
  } else if (to == at::kBFloat16 && from == at::kFloat) {
    AddMixed<c10::BFloat16, float>(sum, values);
  } else if (to == at::kHalf && from == at::kFloat) {
    AddMixed<c10::Half, float>(sum, values);
  } else {
    TORCH_CHECK(false, "a sum in ", to, " takes no summands in ", from);
  }
}

void AddToGrad(Parameter& parameter, const at::Tensor& summand) {
  const bool add = parameter.AddsToGrad();
  AddOrCopy(parameter.grad(), summand, add);
}

at::Tensor SumOfFirstDim(const at::Tensor& x) {
  if (!at::isReducedFloatingType(x.scalar_type())) return x.sum(0);
  if (!OwnKernels(x)) return x.sum(0, /*keepdim=*/false, at::kFloat);
  const at::Tensor rows = x.contiguous();
  at::Tensor sums = at::empty(x.sizes().slice(1), x.options().dtype(at::kFloat).requires_grad(false));
  const int64_t count = x.size(0), columns = sums.numel();
  AT_DISPATCH_REDUCED_FLOATING_TYPES(x.scalar_type(), "sum_of_first_dim", [&] {
    SumColumns(rows.const_data_ptr<scalar_t>(), count, columns, sums.data_ptr<float>());
  });
  return sums;
}

}  // namespace orthant
