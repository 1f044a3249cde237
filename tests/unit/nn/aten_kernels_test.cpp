// What operations run on a GPU - LibTorch's kernels - against this project's own, on the processor, where
// both run.
#include <gtest/gtest.h>

#include "nn/keep_mask.h"
#include "orthant/core/philox.h"
#include "orthant/nn/kernels.h"
#include "support/kernel_cases.h"

namespace orthant {
namespace {

using testing::KernelCase;

TEST(AtenKernels, HoldForTheirThreadAndAsLongAsTheyLive) {
  const at::Tensor x = at::zeros({1});
  EXPECT_TRUE(OwnKernels(x));
  {
    const AtenKernels aten;
    EXPECT_FALSE(OwnKernels(x));
    {
      const AtenKernels nested;
      EXPECT_FALSE(OwnKernels(x));
    }
    EXPECT_FALSE(OwnKernels(x));
  }
  EXPECT_TRUE(OwnKernels(x));
}

class AtenKernelsTest : public ::testing::TestWithParam<KernelCase> {};

TEST_P(AtenKernelsTest, AreTheOwnKernelsTwins) {
  const c10::Device processor(at::kCPU);
  const std::vector<at::Tensor> own = GetParam().run(processor);
  const AtenKernels aten;
  const std::vector<at::Tensor> other = GetParam().run(processor);
  ASSERT_EQ(own.size(), other.size());
  for (size_t i = 0; i < own.size(); ++i) {
    EXPECT_EQ(own[i].scalar_type(), other[i].scalar_type()) << "result " << i;
    EXPECT_LE(testing::LargestDifference(other[i], own[i]), GetParam().tolerance) << "result " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Operations, AtenKernelsTest, ::testing::ValuesIn(testing::KernelCases()),
                         [](const auto& tested) { return tested.param.name; });

TEST(KeepMask, IsTheProcessorsDecisionElementByElement) {
  const DropoutWindow w = testing::OddWindow();
  const KeepMask mask{0x123456789abcdefULL,
                      BernoulliThreshold(0.3),
                      w.logical1,
                      w.begin0,
                      w.count0,
                      w.begin1,
                      w.count1,
                      w.count2};
  int kept = 0;
  for (int64_t i = 0; i < mask.sample(); ++i) {
    const int64_t i0 = i / 35, i1 = i / 7 % 5, i2 = i % 7;
    const auto element =
        static_cast<uint64_t>(((w.begin0 + i0) * w.logical1 + w.begin1 + i1) * w.count2 + i2);
    const bool keep = Bits({mask.key}, 77, element) >= mask.threshold;
    EXPECT_EQ(Keeps(mask, 77, i), keep ? 1 : 0) << i;
    kept += keep ? 1 : 0;
  }
  EXPECT_GT(kept, 50);
  EXPECT_LT(kept, 100);
}

TEST(KeepMask, NothingAndEverything) {
  KeepMask mask{9, BernoulliThreshold(0.0)};
  EXPECT_EQ(Keeps(mask, 0, 0), 1);
  mask.threshold = BernoulliThreshold(1.0);
  EXPECT_EQ(Keeps(mask, 0, 0), 0);
}

}  // namespace
}  // namespace orthant
