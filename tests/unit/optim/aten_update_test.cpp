// What the optimiser runs on a GPU - LibTorch's kernels - against its own, on the processor, where both run.
#include <gtest/gtest.h>

#include "ATen/ATen.h"
#include "orthant/nn/kernels.h"
#include "orthant/optim/adamw_update.h"

namespace orthant {
namespace {

double Difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

struct State {
  explicit State(at::ScalarType dtype, at::ScalarType value_dtype)
      : master(at::linspace(-1, 1, 999, dtype)),
        first(at::zeros({999}, dtype)),
        second(at::zeros({999}, dtype)) {
    if (value_dtype != dtype) value = master.to(value_dtype);
  }
  at::Tensor master, first, second, value;
};

void Compare(at::ScalarType dtype, at::ScalarType narrow, double tolerance) {
  State own(dtype, narrow), other(dtype, narrow);
  for (int64_t step = 1; step <= 5; ++step) {
    const at::Tensor gradient = at::randn({999}, at::kDouble).to(narrow);
    for (const double scale : {1.0, 0.25}) {
      const AdamWStep numbers{1e-3, 0.9, 0.95, 1e-8, 0.1, scale, step};
      AdamWUpdate(own.master, gradient, own.first, own.second, own.value, numbers);
      const AtenKernels aten;
      AdamWUpdate(other.master, gradient, other.first, other.second, other.value, numbers);
    }
  }
  EXPECT_LE(Difference(other.master, own.master), tolerance);
  EXPECT_LE(Difference(other.first, own.first), tolerance);
  EXPECT_LE(Difference(other.second, own.second), tolerance);
  if (own.value.defined()) {
    EXPECT_EQ(other.value.scalar_type(), narrow);
    EXPECT_TRUE(at::equal(other.value, other.master.to(narrow)));
  }
}

TEST(AtenUpdate, IsOursInDoublePrecision) {
  Compare(at::kDouble, at::kDouble, 1e-13);
}
TEST(AtenUpdate, IsOursInSinglePrecision) {
  Compare(at::kFloat, at::kFloat, 1e-6);
}
TEST(AtenUpdate, RoundsSixteenBitValuesFromTheirMasters) {
  Compare(at::kFloat, at::kBFloat16, 1e-6);
  Compare(at::kFloat, at::kHalf, 1e-6);
}

}  // namespace
}  // namespace orthant
