#include "orthant/train/peak.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "absl/strings/str_cat.h"
#include "orthant/comm/operation.h"
#include "orthant/device/device.h"
#include "orthant/nn/matmul.h"

namespace orthant {
namespace {

// FLOP/s of the best of several matrix products [size, size], about 100 ms in all.
double Measure(int64_t size, const at::TensorOptions& options) {
  const at::Tensor a = at::ones({size, size}, options), b = at::ones({size, size}, options);
  at::Tensor c = MatMul(a, b);
  FinishDevice(options.device());
  double best = 1e9;
  for (int i = 0; i < 8; ++i) {
    const auto start = std::chrono::steady_clock::now();
    c = MatMul(a, b);
    FinishDevice(options.device());
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  const auto n = static_cast<double>(size);
  return 2.0 * n * n * n / best;
}

}  // namespace

PeakRate PeakOfRank(double configured_tflops, const RankEnvironment& environment, Communicator& world,
                    at::ScalarType dtype) {
  if (configured_tflops > 0.0) return {configured_tflops * 1e12, "from log.peak_tflops"};
  const bool gpu = !environment.device.is_cpu();
  const at::Tensor peak = at::zeros({1}, at::kDouble);
  if (world.rank() == 0 && gpu) {
    peak.fill_(
        Measure(dtype == at::kDouble ? 4096 : 8192, at::TensorOptions(dtype).device(environment.device)));
  } else if (world.rank() == 0) {
    at::set_num_threads(std::max(1, static_cast<int>(std::thread::hardware_concurrency())));
    peak.fill_(Measure(1024, at::kFloat));
    at::set_num_threads(environment.threads);
  }
  world.Broadcast(peak, 0, "peak");
  if (gpu) {
    return {peak.item<double>(),
            absl::StrCat("the best ", DtypeName(dtype), " matrix product on rank 0's GPU")};
  }
  return {peak.item<double>() / environment.ranks_on_host,
          "the best fp32 matrix product on all cores of this host, shared among its ranks"};
}

}  // namespace orthant
