// AdamWUpdate against LibTorch's fused kernel, and with masters and 16-bit gradients against itself in fp32.
#include <gtest/gtest.h>

#include <cmath>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "orthant/optim/adamw_update.h"

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
    AdamWUpdate(value, gradient, first, second, {}, step);
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
  AdamWUpdate(value, gradient, at::zeros({3}, at::kDouble), at::zeros({3}, at::kDouble), {},
              {.lr = 0.01, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-12});
  EXPECT_NEAR(value[0].item<double>(), -0.01, 1e-13);
  EXPECT_NEAR(value[1].item<double>(), 0.01, 1e-13);
  EXPECT_EQ(value[2].item<double>(), 0.0);
}

TEST(AdamWUpdate, DecayAloneShrinksTheValue) {
  const at::Tensor value = at::full({2}, 5.0, at::kDouble);
  const at::Tensor zeros = at::zeros({2}, at::kDouble);
  AdamWUpdate(value, zeros, zeros.clone(), zeros.clone(), {}, {.lr = 0.1, .weight_decay = 0.5});
  EXPECT_DOUBLE_EQ(value[0].item<double>(), 5.0 * 0.95);
}

// With a 16-bit gradient and value the arithmetic is that of the master on the widened gradient, to the last
// bit, and the value is the master rounded.
void CompareWithWidened(at::ScalarType master_type, at::ScalarType gradient_type, at::ScalarType value_type) {
  at::Tensor master = Random(1, master_type), first = at::zeros_like(master), second = at::zeros_like(master);
  const at::Tensor plain = master.clone(), first2 = first.clone(), second2 = second.clone();
  const at::Tensor value = at::full({kCount}, NAN, value_type);
  for (int64_t t = 1; t <= 4; ++t) {
    const at::Tensor gradient = (Random(10 + t, at::kDouble) * 0.1).to(gradient_type);
    const AdamWStep step{.lr = 3e-3, .weight_decay = 0.1, .gradient_scale = 0.37, .step = t};
    AdamWUpdate(master, gradient, first, second, value, step);
    AdamWUpdate(plain, gradient.to(master_type), first2, second2, {}, step);
  }
  EXPECT_TRUE(at::equal(master, plain)) << master_type << " " << gradient_type;
  EXPECT_TRUE(at::equal(first, first2)) << master_type << " " << gradient_type;
  EXPECT_TRUE(at::equal(second, second2)) << master_type << " " << gradient_type;
  EXPECT_TRUE(at::equal(value, master.to(value_type))) << master_type << " " << value_type;
}

TEST(AdamWUpdate, SixteenBitsAreTheMastersArithmetic) {
  for (at::ScalarType master : {at::kFloat, at::kDouble}) {
    for (at::ScalarType gradient : {master, at::kBFloat16, at::kHalf}) {
      for (at::ScalarType value : {at::kBFloat16, at::kHalf}) CompareWithWidened(master, gradient, value);
    }
  }
}

TEST(AdamWUpdate, TheMasterKeepsWhatTheValueCannotShow) {
  // 1 - 0.0005 t rounds to 1 in bf16 at first: the steps add up in the master, and then the value moves.
  const at::Tensor master = at::ones({40}, at::kFloat), zeros = at::zeros({40}, at::kFloat);
  const at::Tensor value = at::empty({40}, at::kBFloat16), first = zeros.clone(), second = zeros.clone();
  const at::Tensor gradient = at::ones({40}, at::kBFloat16);
  for (int64_t t = 1; t <= 20; ++t) {
    AdamWUpdate(master, gradient, first, second, value, {.lr = 5e-4, .step = t});
    if (t == 1) {
      EXPECT_TRUE(at::equal(value, at::ones({40}, at::kBFloat16)));
    }
  }
  EXPECT_NEAR(master[0].item<double>(), 0.99, 1e-4);
  EXPECT_NEAR(value[0].item<double>(), 0.99, 0x1p-8);
}

TEST(AdamWUpdate, ThreadsChangeNoBit) {
  const int threads = at::get_num_threads();
  std::vector<at::Tensor> values;
  for (int count : {1, 2}) {
    at::set_num_threads(count);
    at::Tensor value = Random(1, at::kFloat), first = at::zeros_like(value), second = at::zeros_like(value);
    for (int64_t t = 1; t <= 3; ++t) {
      AdamWUpdate(value, Random(20 + t, at::kFloat), first, second, {},
                  {.lr = 1e-2, .weight_decay = 0.1, .step = t});
    }
    values.push_back(value);
  }
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(values[0], values[1]));
}

}  // namespace
}  // namespace orthant
