#include "orthant/train/peak.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "orthant/nn/matmul.h"

namespace orthant {
namespace {

// FLOP/s of the best of several matrix products, about 100 ms in all.
double MeasureHost() {
  constexpr int64_t kSize = 1024;
  const at::Tensor a = at::ones({kSize, kSize}), b = at::ones({kSize, kSize});
  at::Tensor c = MatMul(a, b);
  double best = 1e9;
  for (int i = 0; i < 8; ++i) {
    const auto start = std::chrono::steady_clock::now();
    c = MatMul(a, b);
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return 2.0 * kSize * kSize * kSize / best;
}

}  // namespace

PeakRate PeakOfRank(double configured_tflops, const RankEnvironment& environment, Communicator& world) {
  if (configured_tflops > 0.0) return {configured_tflops * 1e12, "from log.peak_tflops"};
  const at::Tensor peak = at::zeros({1}, at::kDouble);
  if (world.rank() == 0) {
    at::set_num_threads(std::max(1, static_cast<int>(std::thread::hardware_concurrency())));
    peak.fill_(MeasureHost());
    at::set_num_threads(environment.threads);
  }
  world.Broadcast(peak, 0, "peak");
  return {peak.item<double>() / environment.ranks_on_host,
          "the best fp32 matrix product on all cores of this host, shared among its ranks"};
}

}  // namespace orthant
