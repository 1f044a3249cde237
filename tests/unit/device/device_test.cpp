#include "orthant/device/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "ATen/ATen.h"
#include "orthant/core/status.h"
#include "orthant/device/side_stream.h"

namespace orthant {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

CudaDevices Gpus(int count) {
  CudaDevices found;
  for (int i = 0; i < count; ++i)
    found.visible.push_back({"Some GPU", "GPU-" + std::to_string(i), "9.0", 1 << 30, {}});
  if (count == 0) found.problem = "no CUDA-capable device is detected";
  return found;
}

TEST(ChooseDevice, EachRankOfAHostTakesTheGpuOfItsPlace) {
  for (const char* wanted : {"auto", "cuda"}) {
    for (int rank = 0; rank < 4; ++rank) {
      const auto device = ChooseDevice(wanted, {rank, 4}, true, Gpus(8));
      ASSERT_TRUE(device.ok()) << device.status();
      EXPECT_EQ(device->str(), "cuda:" + std::to_string(rank));
    }
  }
}

TEST(ChooseDevice, TheOnlyOneThatALauncherShowsIsTheRanks) {
  const auto device = ChooseDevice("cuda", {3, 4}, true, Gpus(1));
  ASSERT_TRUE(device.ok()) << device.status();
  EXPECT_EQ(device->str(), "cuda:0");
}

TEST(ChooseDevice, CpuIsTheProcessorWhateverThereIs) {
  EXPECT_TRUE(ChooseDevice("cpu", {0, 1}, true, Gpus(8))->is_cpu());
  EXPECT_TRUE(ChooseDevice("cpu", {0, 1}, false, Gpus(0))->is_cpu());
}

TEST(ChooseDevice, AutoFallsBackToTheProcessor) {
  EXPECT_TRUE(ChooseDevice("auto", {0, 1}, false, Gpus(0))->is_cpu());
  EXPECT_TRUE(ChooseDevice("auto", {0, 1}, true, Gpus(0))->is_cpu());
  EXPECT_TRUE(ChooseDevice("auto", {0, 16, /*threads=*/true}, true, Gpus(8))->is_cpu());
  EXPECT_TRUE(ChooseDevice("auto", {3, 4}, true, Gpus(2))->is_cpu());
}

void ExpectRefused(const PlaceOnHost& place, bool built, int gpus, const std::string& why) {
  const absl::Status status = ChooseDevice("cuda", place, built, Gpus(gpus)).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kEnvironment);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("train.device = cuda"), HasSubstr(why)));
}

TEST(ChooseDevice, CudaThatCannotBeIsAnEnvironmentErrorThatSaysWhy) {
  ExpectRefused({0, 1}, false, 0, "built without CUDA; build preset cuda");
  ExpectRefused({0, 1}, true, 0, "no GPU that CUDA can use: no CUDA-capable device is detected");
  ExpectRefused({0, 4, /*threads=*/true}, true, 8, "mpirun -n 4");
  ExpectRefused({2, 4}, true, 2, "2 visible GPUs for 4 ranks");
}

TEST(ChooseDevice, OneRankAsAThreadMayHaveAGpu) {
  EXPECT_EQ(ChooseDevice("cuda", {0, 1, /*threads=*/true}, true, Gpus(2))->str(), "cuda:0");
}

TEST(SettleDevices, AllOrNone) {
  EXPECT_TRUE(*SettleDevices("auto", {"GPU-a", "GPU-b"}));
  EXPECT_TRUE(*SettleDevices("cuda", {"GPU-a", "GPU-b"}));
  EXPECT_FALSE(*SettleDevices("auto", {"GPU-a", ""}));
  EXPECT_FALSE(*SettleDevices("auto", {"GPU-a", "GPU-b", "GPU-a"}));
}

TEST(SettleDevices, TwoRanksOnOneGpuAreNamed) {
  const absl::Status status = SettleDevices("cuda", {"GPU-a", "GPU-b", "GPU-a"}).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kEnvironment);
  EXPECT_THAT(std::string(status.message()), HasSubstr("ranks 0 and 2 would both compute on the GPU GPU-a"));
}

TEST(FindCudaDevices, FindsSomeOrSaysWhyNot) {
  const CudaDevices found = FindCudaDevices();
  EXPECT_EQ(found.visible.empty(), !found.problem.empty());
  if (!BuiltWithCuda()) {
    EXPECT_THAT(found.problem, HasSubstr("without CUDA"));
  }
}

TEST(SideStream, OnTheProcessorACopyIsDoneAtOnce) {
  SideStream stream(c10::Device(at::kCPU));
  const at::Tensor from = at::arange(5, at::kDouble), to = at::zeros({5}, at::kDouble);
  stream.FollowCompute();
  const SideStream::Mark mark = stream.Copy(to, from);
  EXPECT_TRUE(at::equal(to, from));
  stream.ComputeWaits(mark);
  stream.Finish();
  EXPECT_EQ(HostMemoryFor(c10::Device(at::kCPU), 100).nbytes(), 100U);
}

TEST(Device, NothingIsAskedOfTheProcessor) {
  const c10::Device processor(at::kCPU);
  UseDevice(processor);
  FinishDevice(processor);
  ResetPeakOf(processor);
  LimitMemory(processor, 1);
  EXPECT_EQ(MemoryOf(processor).peak_allocated, 0);
}

}  // namespace
}  // namespace orthant
