#include "orthant/bench/compute_bench.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include "ATen/ATen.h"
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
  std::sort(samples.begin(), samples.end());
  return samples[samples.size() / 2];
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

  const at::Tensor wide = at::ones({int64_t{1} << 23});  // 32 MiB: larger than caches
  at::Tensor sum = at::empty_like(wide);
  rates.memory = 3.0 * static_cast<double>(wide.nbytes()) /
                 MedianSeconds(seconds, world, [&] { at::add_out(sum, wide, wide); });
  const at::Tensor small = at::ones({8});
  constexpr int kCalls = 1000;
  rates.operation = MedianSeconds(seconds, world,
                                  [&] {
                                    for (int i = 0; i < kCalls; ++i) at::add(small, small);
                                  }) /
                    kCalls;
  for (double* rate : {&rates.product, &rates.products, &rates.memory}) *rate = Least(world, *rate);
  rates.operation = -Least(world, -rates.operation);
  return rates;
}

}  // namespace orthant
