// AdamWUpdate against LibTorch's fused kernel.
#include "orthant/optim/adamw.h"

#include <gtest/gtest.h>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"

namespace orthant {
namespace {

constexpr int64_t kCount = 70001;  // more than one range of the parallel loop, and no multiple of a vector

at::Tensor Random(int64_t seed, at::ScalarType dtype) {
  at::Generator generator = at::detail::createCPUGenerator(static_cast<uint64_t>(seed));
  return at::randn({kCount}, generator, at::kDouble).to(dtype);
}

double WorstDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>() / b.abs().max().item<double>();
}

// Several steps of both, with decay and with gradients scaled beforehand for LibTorch.
void CompareWithFused(at::ScalarType dtype, double decay, double scale, double tolerance) {
  at::Tensor value = Random(1, dtype), first = at::zeros_like(value), second = at::zeros_like(value);
  at::Tensor value2 = value.clone(), first2 = first.clone(), second2 = second.clone();
  for (int64_t t = 1; t <= 6; ++t) {
    const at::Tensor gradient = Random(10 + t, dtype) * 0.1;
    const AdamWStep step{.lr = 3e-3 * static_cast<double>(t),
                         .beta1 = 0.9,
                         .beta2 = 0.95,
                         .eps = 1e-8,
                         .weight_decay = decay,
                         .gradient_scale = scale,
                         .step = t};
    AdamWUpdate(value, gradient, first, second, step);
    at::_fused_adamw_({value2}, {gradient * scale}, {first2}, {second2}, {}, {at::full({}, t, at::kFloat)},
                      step.lr, step.beta1, step.beta2, step.weight_decay, step.eps, /*amsgrad=*/false,
                      /*maximize=*/false);
    EXPECT_LT(WorstDifference(first, first2), tolerance) << "step " << t;
    EXPECT_LT(WorstDifference(second, second2), tolerance) << "step " << t;
    EXPECT_LT(WorstDifference(value, value2), tolerance) << "step " << t;
  }
}

TEST(AdamWUpdate, IsLibTorchsInDoublePrecision) {
  CompareWithFused(at::kDouble, 0.0, 1.0, 1e-13);
}
TEST(AdamWUpdate, DecayIsDecoupledInDoublePrecision) {
  CompareWithFused(at::kDouble, 0.1, 1.0, 1e-13);
}
TEST(AdamWUpdate, GradientScaleInDoublePrecision) {
  CompareWithFused(at::kDouble, 0.1, 0.37, 1e-13);
}
TEST(AdamWUpdate, IsLibTorchsInSinglePrecision) {
  CompareWithFused(at::kFloat, 0.0, 1.0, 2e-6);
}
TEST(AdamWUpdate, DecayAndScaleInSinglePrecision) {
  CompareWithFused(at::kFloat, 0.1, 0.37, 2e-6);
}

TEST(AdamWUpdate, FirstStepMovesEachElementByTheLearningRate) {
  // After bias correction the first step is lr * g / (|g| + eps).
  const at::Tensor value = at::zeros({3}, at::kDouble);
  const at::Tensor gradient = at::tensor({4.0, -0.5, 0.0}, at::kDouble);
  AdamWUpdate(value, gradient, at::zeros({3}, at::kDouble), at::zeros({3}, at::kDouble),
              {.lr = 0.01, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-12});
  EXPECT_NEAR(value[0].item<double>(), -0.01, 1e-13);
  EXPECT_NEAR(value[1].item<double>(), 0.01, 1e-13);
  EXPECT_EQ(value[2].item<double>(), 0.0);
}

TEST(AdamWUpdate, DecayAloneShrinksTheValue) {
  const at::Tensor value = at::full({2}, 5.0, at::kDouble);
  const at::Tensor zeros = at::zeros({2}, at::kDouble);
  AdamWUpdate(value, zeros, zeros.clone(), zeros.clone(), {.lr = 0.1, .weight_decay = 0.5});
  EXPECT_DOUBLE_EQ(value[0].item<double>(), 5.0 * 0.95);
}

TEST(AdamWUpdate, ThreadsChangeNoBit) {
  const int threads = at::get_num_threads();
  std::vector<at::Tensor> values;
  for (int count : {1, 2}) {
    at::set_num_threads(count);
    at::Tensor value = Random(1, at::kFloat), first = at::zeros_like(value), second = at::zeros_like(value);
    for (int64_t t = 1; t <= 3; ++t) {
      AdamWUpdate(value, Random(20 + t, at::kFloat), first, second,
                  {.lr = 1e-2, .weight_decay = 0.1, .step = t});
    }
    values.push_back(value);
  }
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(values[0], values[1]));
}

}  // namespace
}  // namespace orthant
