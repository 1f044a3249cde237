#include "orthant/nn/softmax_loss.h"

#include <bit>
#include <cmath>
#include <limits>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "orthant/nn/kernels.h"

namespace orthant {
namespace {

// exp for x <= 0, written so that compilers vectorise it; relative error below 2e-7 (a unit test holds it to
// that).
inline float Exp(float x) {
  constexpr float kLog2E = 1.44269504088896341f;
  const float t = std::max(x * kLog2E, -126.0f);
  const float n = std::nearbyint(t);
  const float f = t - n;
  float p = 1.5403530393381609954e-4f;  // Taylor series of 2^f on [-0.5, 0.5]
  p = p * f + 1.3333558146428443423e-3f;
  p = p * f + 9.6181291076284771619e-3f;
  p = p * f + 5.5504108664821579953e-2f;
  p = p * f + 2.4022650695910071233e-1f;
  p = p * f + 6.9314718055994530942e-1f;
  p = p * f + 1.0f;
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}
inline double Exp(double x) {
  return std::exp(x);
}

template <typename Body>
void ForRows(const at::Tensor& block, const Body& body) {
  const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, block.size(1)));
  at::parallel_for(0, block.size(0), grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

// Independent partial results let the compiler use vector registers without reassociating anything behind our
// back.
constexpr int kLanes = 16;

template <typename scalar_t>
scalar_t RowMax(const scalar_t* row, int64_t count) {
  scalar_t lane[kLanes];
  std::fill(lane, lane + kLanes, std::numeric_limits<scalar_t>::lowest());
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) lane[l] = row[i + l] > lane[l] ? row[i + l] : lane[l];
  }
  for (; i < count; ++i) lane[0] = std::max(lane[0], row[i]);
  return *std::max_element(lane, lane + kLanes);
}

template <typename scalar_t>
scalar_t ExpAndSum(scalar_t* row, int64_t count, scalar_t maximum) {
  scalar_t lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const scalar_t e = Exp(row[i + l] - maximum);
      row[i + l] = e;
      lane[l] += e;
    }
  }
  for (; i < count; ++i) lane[0] += row[i] = Exp(row[i] - maximum);
  scalar_t sum = 0;
  for (scalar_t l : lane) sum += l;
  return sum;
}

// The same of LibTorch's kernels.
namespace aten {

// The real classes of a block; the target's column, [N, 1], some real one where it is not here; whether it
// is, [N].
struct Block {
  Block(const at::Tensor& logits, const at::Tensor& targets, const VocabShard& shard)
      : valid(logits.narrow(1, 0, shard.valid)),
        here((targets - shard.first).ge(0).logical_and((targets - shard.first).lt(shard.valid))),
        column((targets - shard.first).clamp(0, std::max<int64_t>(shard.valid - 1, 0)).unsqueeze(1)) {}
  at::Tensor valid, here, column;
};

at::Tensor RowMaxima(const at::Tensor& logits, const VocabShard& shard) {
  if (shard.valid > 0) return logits.narrow(1, 0, shard.valid).amax(1);
  const double lowest = logits.scalar_type() == at::kDouble ? std::numeric_limits<double>::lowest()
                                                            : std::numeric_limits<float>::lowest();
  return at::full({logits.size(0)}, lowest, logits.options());
}

at::Tensor ExponentiateRows(const at::Tensor& logits, const at::Tensor& maxima, const at::Tensor& targets,
                            const VocabShard& shard) {
  at::Tensor sums = at::zeros({2, logits.size(0)}, logits.options());
  if (shard.valid == 0) return sums;
  const Block block(logits, targets, shard);
  sums[1].copy_(
      (block.valid.gather(1, block.column).squeeze(1) - maxima).masked_fill_(block.here.logical_not(), 0));
  block.valid.sub_(maxima.unsqueeze(1)).exp_();
  sums[0].copy_(block.valid.sum(1));
  return sums;
}

void GradientRows(const at::Tensor& exponentials, const at::Tensor& sums, const at::Tensor& targets,
                  const VocabShard& shard, double scale) {
  exponentials.narrow(1, shard.valid, exponentials.size(1) - shard.valid).zero_();
  if (shard.valid == 0) return;
  const Block block(exponentials, targets, shard);
  block.valid.mul_(sums.reciprocal().mul_(scale).unsqueeze(1));
  // One column a row: no two sums meet.
  block.valid.scatter_add_(1, block.column,
                           block.here.to(exponentials.scalar_type()).mul_(-scale).unsqueeze(1));
}

}  // namespace aten
}  // namespace

at::Tensor RowMaxima(const at::Tensor& logits, const VocabShard& shard) {
  if (!OwnKernels(logits)) return aten::RowMaxima(logits, shard);
  at::Tensor maxima = at::empty({logits.size(0)}, logits.options());
  AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "row_maxima", [&] {
    const auto* rows = logits.data_ptr<scalar_t>();
    auto* out = maxima.data_ptr<scalar_t>();
    ForRows(logits, [&](int64_t i) { out[i] = RowMax(rows + i * logits.size(1), shard.valid); });
  });
  return maxima;
}

at::Tensor ExponentiateRows(const at::Tensor& logits, const at::Tensor& maxima, const at::Tensor& targets,
                            const VocabShard& shard) {
  if (!OwnKernels(logits)) return aten::ExponentiateRows(logits, maxima, targets, shard);
  const int64_t count = logits.size(0), columns = logits.size(1);
  at::Tensor sums = at::empty({2, count}, logits.options());
  AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "exponentiate_rows", [&] {
    auto* rows = logits.data_ptr<scalar_t>();
    const auto* maximum = maxima.data_ptr<scalar_t>();
    const auto* target = targets.data_ptr<int64_t>();
    auto* sum = sums.data_ptr<scalar_t>();
    ForRows(logits, [&](int64_t i) {
      scalar_t* row = rows + i * columns;
      const int64_t column = target[i] - shard.first;
      const bool here = column >= 0 && column < shard.valid;
      sum[count + i] = here ? row[column] - maximum[i] : scalar_t(0);
      sum[i] = ExpAndSum(row, shard.valid, maximum[i]);
    });
  });
  return sums;
}

void GradientRows(const at::Tensor& exponentials, const at::Tensor& sums, const at::Tensor& targets,
                  const VocabShard& shard, double scale) {
  if (!OwnKernels(exponentials)) return aten::GradientRows(exponentials, sums, targets, shard, scale);
  const int64_t columns = exponentials.size(1);
  AT_DISPATCH_FLOATING_TYPES(exponentials.scalar_type(), "gradient_rows", [&] {
    auto* rows = exponentials.data_ptr<scalar_t>();
    const auto* sum = sums.data_ptr<scalar_t>();
    const auto* target = targets.data_ptr<int64_t>();
    ForRows(exponentials, [&](int64_t i) {
      scalar_t* row = rows + i * columns;
      const auto factor = static_cast<scalar_t>(scale) / sum[i];
      for (int64_t c = 0; c < shard.valid; ++c) row[c] *= factor;
      for (int64_t c = shard.valid; c < columns; ++c) row[c] = 0;
      const int64_t column = target[i] - shard.first;
      if (column >= 0 && column < shard.valid) row[column] -= static_cast<scalar_t>(scale);
    });
  });
}

}  // namespace orthant
