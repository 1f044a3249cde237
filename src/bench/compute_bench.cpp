#include "orthant/bench/compute_bench.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include "ATen/ATen.h"
#include "orthant/core/median.h"
#include "orthant/nn/matmul.h"

namespace orthant {
namespace {

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Seconds of one call of `work`, the median of as many as fit, three at least. All ranks begin together.
double MedianSeconds(double seconds, Communicator& world, const std::function<void()>& work) {
  work();  // warm
  world.Barrier("calibrate");
  std::vector<double> samples;
  const Clock::time_point begin = Clock::now();
  while (samples.size() < 3 || Since(begin) < seconds) {
    const Clock::time_point start = Clock::now();
    work();
    samples.push_back(Since(start));
  }
  return MedianOf(std::move(samples));
}

// The least of all ranks' values.
double Least(Communicator& world, double value) {
  const at::Tensor all = at::zeros({world.size()}, at::kDouble);
  world.AllGather(all, at::full({1}, value, at::kDouble), "calibrate");
  return all.min().item<double>();
}

double ProductRate(int64_t m, int64_t n, int64_t k, double seconds, Communicator& world) {
  const at::Tensor a = at::ones({m, k}), b = at::ones({k, n});
  const double once = MedianSeconds(seconds, world, [&] { MatMul(a, b); });
  return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) / once;
}

// Seconds of a score of causal fused attention over heads of `depth` dimensions, forward.
double ScoreSeconds(int64_t depth, double seconds, Communicator& world) {
  constexpr int64_t kSamples = 2, kHeads = 4, kContext = 128;
  const at::Tensor q = at::ones({kSamples, kHeads, kContext, depth});
  const double once = MedianSeconds(seconds, world, [&] {
    at::_scaled_dot_product_flash_attention_for_cpu(q, q, q, 0.0, /*is_causal=*/true);
  });
  return once / static_cast<double>(kSamples * kHeads * kContext * kContext);
}

// What an all-reduce of almost nothing adds to work between two of them: its own time, and that ranks are not
// done at the same moment, which back-to-back collectives do not show.
double SkewSeconds(double seconds, Communicator& world) {
  if (world.size() == 1) return 0;
  constexpr int kBetween = 2000;  // at most: all ranks have to take as many
  const at::Tensor a = at::ones({256, 128}), b = at::ones({128, 512});
  at::Tensor small = at::ones({64});
  const double work = MedianSeconds(seconds, world, [&] { MatMul(a, b); });
  const int count = static_cast<int>(std::clamp(Least(world, seconds / work), 3.0, double{kBetween}));
  std::vector<double> samples;
  for (int i = 0; i < count; ++i) {
    const Clock::time_point start = Clock::now();
    MatMul(a, b);
    world.AllReduce(small, ReduceOp::kSum, "calibrate");
    samples.push_back(Since(start));
  }
  // The mean: that one of many comes late is the point.
  const double both = std::accumulate(samples.begin(), samples.end(), 0.0) / count;
  return std::max(0.0, both - work);
}

}  // namespace

ComputeRates BenchCompute(double seconds, Communicator& world, const RankEnvironment&) {
  ComputeRates rates;
  rates.product = ProductRate(1024, 1024, 1024, seconds, world);
  // A block's products at a width of 256 and 512 tokens: qkv, out, up, down.
  std::vector<double> shapes;
  for (const auto& [n, k] : {std::pair{768, 256}, {256, 256}, {1024, 256}, {256, 1024}})
    shapes.push_back(ProductRate(512, n, k, seconds / 4, world));
  std::sort(shapes.begin(), shapes.end());
  rates.products = std::min(rates.product, (shapes[1] + shapes[2]) / 2);

  const double narrow = ScoreSeconds(16, seconds / 2, world), deep = ScoreSeconds(64, seconds / 2, world);
  rates.score_depth = std::max(0.0, (deep - narrow) / 48);
  rates.score = std::max(0.0, narrow - 16 * rates.score_depth);
  const at::Tensor inner = at::ones({256, 256});
  rates.activation =
      MedianSeconds(seconds / 2, world, [&] { at::gelu(inner); }) / static_cast<double>(inner.numel());

  const at::Tensor wide = at::ones({int64_t{1} << 23});  // 32 MiB: larger than caches
  at::Tensor sum = at::empty_like(wide);
  rates.memory = 3.0 * static_cast<double>(wide.nbytes()) /
                 MedianSeconds(seconds, world, [&] { at::add_out(sum, wide, wide); });
  for (double* rate : {&rates.product, &rates.products, &rates.memory}) *rate = Least(world, *rate);
  rates.skew = SkewSeconds(seconds, world);
  for (double* time : {&rates.skew, &rates.score, &rates.score_depth, &rates.activation})
    *time = -Least(world, -*time);
  return rates;
}

}  // namespace orthant
