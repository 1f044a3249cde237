// Each operation on a GPU against this project's kernels on the processor.
#include <gtest/gtest.h>

#include "orthant/device/device.h"
#include "orthant/optim/adamw_update.h"
#include "support/kernel_cases.h"

namespace orthant {
namespace {

using testing::KernelCase;

const c10::Device kGpu(at::kCUDA, 0), kProcessor(at::kCPU);

class GpuKernels : public ::testing::TestWithParam<KernelCase> {
 protected:
  void SetUp() override {
    const CudaDevices found = FindCudaDevices();
    ASSERT_FALSE(found.visible.empty()) << found.problem;
    UseDevice(kGpu);
  }
};

TEST_P(GpuKernels, AreTheProcessorsTwins) {
  const std::vector<at::Tensor> own = GetParam().run(kProcessor), other = GetParam().run(kGpu);
  ASSERT_EQ(own.size(), other.size());
  for (size_t i = 0; i < own.size(); ++i) {
    EXPECT_TRUE(other[i].is_cuda());
    EXPECT_EQ(own[i].scalar_type(), other[i].scalar_type()) << "result " << i;
    EXPECT_LE(testing::LargestDifference(other[i], own[i]), GetParam().tolerance) << "result " << i;
  }
}

TEST_P(GpuKernels, RepeatToTheBit) {
  const std::vector<at::Tensor> once = GetParam().run(kGpu), again = GetParam().run(kGpu);
  for (size_t i = 0; i < once.size(); ++i) EXPECT_TRUE(at::equal(once[i], again[i])) << "result " << i;
}

INSTANTIATE_TEST_SUITE_P(Operations, GpuKernels, ::testing::ValuesIn(testing::KernelCases()),
                         [](const auto& tested) { return tested.param.name; });

void CompareUpdate(at::ScalarType dtype, at::ScalarType narrow, double tolerance) {
  UseDevice(kGpu);
  const auto run = [&](c10::Device d) {
    const at::Tensor master = testing::Numbers({100003}, dtype, d, 1), first = at::zeros_like(master),
                     second = at::zeros_like(master);
    const at::Tensor value = narrow == dtype ? at::Tensor() : master.to(narrow);
    for (int64_t step = 1; step <= 5; ++step) {
      const AdamWStep numbers{1e-3, 0.9, 0.95, 1e-8, 0.1, 0.3, step};
      AdamWUpdate(master, testing::Numbers({100003}, narrow, d, 10 + static_cast<uint64_t>(step)), first,
                  second, value, numbers);
    }
    return std::vector<at::Tensor>{master, first, second};
  };
  const std::vector<at::Tensor> own = run(kProcessor), other = run(kGpu);
  for (size_t i = 0; i < own.size(); ++i)
    EXPECT_LE(testing::LargestDifference(other[i], own[i]), tolerance) << i;
}

TEST(GpuAdamW, IsTheProcessors) {
  CompareUpdate(at::kDouble, at::kDouble, 1e-12);
  CompareUpdate(at::kFloat, at::kFloat, 2e-6);
  CompareUpdate(at::kFloat, at::kBFloat16, 2e-6);
}

}  // namespace
}  // namespace orthant
