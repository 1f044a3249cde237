// Slots of host memory or files through staging buffers, as a GPU uses them; here the device is the
// processor, and what would be beside the computation is done at once.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "ATen/ATen.h"
#include "data_parallel/stores.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;

at::Tensor Ramp(int64_t n, double from, at::ScalarType dtype = at::kFloat) {
  return at::arange(n, at::kDouble).add_(from).to(dtype);
}

// Each of the tiers behind.
class StagedStoreTest : public ::testing::TestWithParam<Tier> {
 protected:
  StagedStoreTest() : folder_(fs::temp_directory_path() / ("orthant-staged-" + std::to_string(::getpid()))) {}
  ~StagedStoreTest() override { fs::remove_all(folder_); }

  std::unique_ptr<StateStore> Make(int buffers = 3) const {
    StoreOptions options{.tier = GetParam(), .path = folder_.string(), .name = "state", .buffers = buffers};
    return MakeStagedStore(
        GetParam() == Tier::kNvme ? MakeNvmeStore(options) : MakeResidentStore(Tier::kHost),
        c10::Device(at::kCPU), buffers);
  }
  fs::path folder_;
};

TEST_P(StagedStoreTest, KeepsWhatWasChangedAndNothingElse) {
  const std::unique_ptr<StateStore> store = Make();
  std::vector<at::Tensor> expected;
  for (int slot = 0; slot < 5; ++slot) {
    const at::ScalarType dtype = slot == 3 ? at::kDouble : at::kFloat;
    expected.push_back(Ramp(100 + 37 * slot, slot, dtype));
    EXPECT_EQ(store->Add(expected.back().clone()), slot);
  }
  std::mt19937 random(5);
  for (int i = 0; i < 60; ++i) {
    const auto slot = static_cast<int>(random() % 5);
    if (random() % 2 == 0) store->Prefetch(static_cast<int>(random() % 5));
    const at::Tensor open = store->Open(slot);
    ASSERT_TRUE(at::equal(open, expected[static_cast<size_t>(slot)])) << "use " << i << " of slot " << slot;
    const bool changed = random() % 2 == 0;
    if (changed) expected[static_cast<size_t>(slot)].add_(1);
    open.add_(1);  // not kept when it is not told
    store->Close(slot, changed);
  }
}

TEST_P(StagedStoreTest, TwoSlotsMayBeOpenAtOnce) {
  const std::unique_ptr<StateStore> store = Make(4);
  store->Add(Ramp(10, 0));
  store->Add(Ramp(20, 5));
  store->Prefetch(1);
  const at::Tensor a = store->Open(0), b = store->Open(1);
  EXPECT_NE(a.data_ptr(), b.data_ptr());
  EXPECT_TRUE(at::equal(a, Ramp(10, 0)));
  EXPECT_TRUE(at::equal(b, Ramp(20, 5)));
  EXPECT_THROW(store->Open(0), std::logic_error);
  store->Close(0, false);
  store->Close(1, false);
  EXPECT_THROW(store->Close(1, false), std::logic_error);
}

TEST_P(StagedStoreTest, WhatIsReadAheadDoesNotStopAnOpener) {
  const std::unique_ptr<StateStore> store = Make(2);
  for (int slot = 0; slot < 4; ++slot) store->Add(Ramp(8, slot));
  for (int slot = 0; slot < 4; ++slot) store->Prefetch(slot);
  for (int slot = 3; slot >= 0; --slot) {
    EXPECT_TRUE(at::equal(store->Open(slot), Ramp(8, slot)));
    store->Close(slot, true);
  }
}

TEST_P(StagedStoreTest, TellsThatMemoryComesAndGoes) {
  const std::unique_ptr<StateStore> store = Make();
  EXPECT_FALSE(store->stays());
  EXPECT_EQ(store->tier(), GetParam());
  EXPECT_TRUE(MakeResidentStore(Tier::kHost)->stays());
}

INSTANTIATE_TEST_SUITE_P(Tiers, StagedStoreTest, ::testing::Values(Tier::kHost, Tier::kNvme),
                         [](const auto& tested) { return tested.param == Tier::kHost ? "Host" : "Nvme"; });

}  // namespace
}  // namespace orthant
