// On a GPU: that it is there, that streams and pinned memory keep their order, that offloaded and saved state
// is right.
#include "orthant/device/device.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "ATen/ATen.h"
#include "data_parallel/buffer.h"
#include "orthant/checkpoint/saver.h"
#include "orthant/comm/local.h"
#include "orthant/data_parallel/state_store.h"
#include "orthant/device/side_stream.h"
#include "support/checkpoint_state.h"

namespace orthant {
namespace {

const c10::Device kGpu(at::kCUDA, 0);

class Gpu : public ::testing::Test {
 protected:
  void SetUp() override {
    const CudaDevices found = FindCudaDevices();
    ASSERT_FALSE(found.visible.empty()) << found.problem;
    UseDevice(kGpu);
  }
  // Keeps the computing stream busy for some milliseconds.
  static at::Tensor Busy() {
    at::Tensor a = at::ones({4096, 4096}, at::TensorOptions(at::kFloat).device(kGpu)).mul_(1e-4);
    for (int i = 0; i < 20; ++i) a = a.mm(a).mul_(1e-3);
    return a;
  }
};

TEST_F(Gpu, IsWhatTheDriverSays) {
  const CudaDevices found = FindCudaDevices();
  EXPECT_EQ(found.visible[0].id.substr(0, 4), "GPU-");
  EXPECT_GT(found.visible[0].memory, int64_t{1} << 30);
  RecordProperty("name", found.visible[0].name);
}

TEST_F(Gpu, AllocatorTotalsFollowTensors) {
  ResetPeakOf(kGpu);
  const int64_t before = MemoryOf(kGpu).allocated;
  {
    const at::Tensor x = at::empty({1 << 20}, at::TensorOptions(at::kFloat).device(kGpu));
    EXPECT_GE(MemoryOf(kGpu).allocated - before, 4 << 20);
  }
  EXPECT_EQ(MemoryOf(kGpu).allocated, before);
  EXPECT_GE(MemoryOf(kGpu).peak_allocated - before, 4 << 20);
}

TEST_F(Gpu, MemoryThatIsDroppedAndGivenBackKeepsItsViews) {
  const at::Tensor flat = at::arange(1000, at::TensorOptions(at::kFloat).device(kGpu)),
                   view = flat.narrow(0, 10, 5);
  DropMemory(flat);
  EXPECT_FALSE(HasMemory(flat));
  GiveMemory(flat);
  flat.fill_(3);
  EXPECT_EQ(view.sum().item<float>(), 15.0f);
}

TEST_F(Gpu, ASideStreamComesAfterWhatWasComputedAndBeforeWhatWaits) {
  SideStream stream(kGpu);
  constexpr int64_t kCount = 1 << 20;
  const at::Tensor host = HostMemoryFor(kGpu, 4 * kCount).view(at::kFloat);
  EXPECT_TRUE(host.is_pinned());
  for (int i = 1; i <= 20; ++i) {
    const at::Tensor x = at::zeros({kCount}, at::TensorOptions(at::kFloat).device(kGpu));
    x.add_(Busy().sum() * 0).add_(i);
    stream.FollowCompute();
    stream.Copy(host, x);
    const at::Tensor y = at::zeros({kCount}, x.options());
    stream.FollowCompute();
    stream.ComputeWaits(stream.Copy(y, host));
    EXPECT_EQ(y.sum().item<double>(), static_cast<double>(i) * kCount) << "round " << i;
    EXPECT_EQ(host.max().item<float>(), static_cast<float>(i));
  }
}

class GpuStore : public Gpu, public ::testing::WithParamInterface<Tier> {};

TEST_P(GpuStore, OffloadedStateIsWhatWasWrittenLast) {
  const std::string folder =
      std::filesystem::temp_directory_path() / ("orthant-gpu-" + std::to_string(::getpid()));
  {
    const auto store = StateStore::Create({GetParam(), folder, "state", 3, kGpu});
    EXPECT_EQ(store->stays(), GetParam() == Tier::kDevice);
    constexpr int kSlots = 6;
    const auto value = [](int slot, int round) { return static_cast<float>(100 * round + slot); };
    for (int s = 0; s < kSlots; ++s) {
      store->Add(at::full({1 << 20}, value(s, 0), at::TensorOptions(at::kFloat).device(kGpu)));
    }
    for (int round = 1; round <= 4; ++round) {
      for (int s = 0; s < kSlots; ++s) {
        const at::Tensor open = store->Open(s);
        if (s + 1 < kSlots) store->Prefetch(s + 1);
        ASSERT_TRUE(open.is_cuda());
        EXPECT_EQ(open.min().item<float>(), value(s, round - 1));
        EXPECT_EQ(open.max().item<float>(), value(s, round - 1));
        open.add_(Busy().sum() * 0).fill_(value(s, round));
        store->Close(s, /*changed=*/true);
      }
    }
  }
  std::filesystem::remove_all(folder);
}

INSTANTIATE_TEST_SUITE_P(Tiers, GpuStore, ::testing::Values(Tier::kDevice, Tier::kHost, Tier::kNvme),
                         [](const auto& tested) {
                           return "Tier" + std::to_string(static_cast<int>(tested.param));
                         });

TEST_F(Gpu, ACheckpointHoldsWhatWasThereBeforeTheUpdate) {
  testing::TempFolder temp;
  LocalWorld world(1);
  const std::unique_ptr<Communicator> rank = world.Connect(0);
  SaverOptions options;
  options.folder = temp / "checkpoints";
  Saver saver(options, *rank);
  const at::Tensor before = testing::RandomTensor({1 << 20}, at::kFloat, 1), w = before.to(kGpu);
  w.add_(Busy().sum() * 0);
  StatePiece piece;
  piece.tensor = "w";
  piece.shape = {1 << 20};
  piece.portion = WholeOf(piece.shape);
  piece.source = w;
  saver.Start(3, {piece}, {});
  saver.BeforeUpdate(0);
  w.fill_(-1);
  const std::optional<SaveResult> result = saver.Finish();
  ASSERT_TRUE(result.has_value() && result->status.ok());
  testing::ExpectHolds(result->path, {{{"w", StateKind::kParameter}, before}});
}

}  // namespace
}  // namespace orthant
