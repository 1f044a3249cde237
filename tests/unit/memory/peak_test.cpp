// Peaks by phase, and the table that shows them.
#include <string>
#include <thread>
#include <utility>

#include "orthant/memory/account.h"
#include "tensors.h"

namespace orthant::testing {
namespace {

TEST(MemoryPeaks, KeepWhatTheyWereMadeOf) {
  const auto account = MemoryAccount::Create();
  const BindMemory bound(account);
  const MemoryScope parameters(MemoryTag::kParameters);
  const at::Tensor weights = Hold(1000);
  {
    const PhaseScope forward(StepPhase::kForward);
    const MemoryScope scope(MemoryTag::kActivations);
    const at::Tensor kept = Hold(500);
    {
      const PhaseScope backward(StepPhase::kBackward);
      const MemoryScope inner(MemoryTag::kGradients);
      const at::Tensor gradient = Hold(300);
    }
    const at::Tensor more = Hold(100);
  }
  const MemoryPeak all = account->peak();
  EXPECT_EQ(all.device_bytes, 1800);
  EXPECT_EQ(Of(all, MemoryTag::kParameters), 1000);
  EXPECT_EQ(Of(all, MemoryTag::kActivations), 500);
  EXPECT_EQ(Of(all, MemoryTag::kGradients), 300);
  const MemoryPeak forward = account->peak(StepPhase::kForward);
  EXPECT_EQ(forward.device_bytes, 1600);
  EXPECT_EQ(Of(forward, MemoryTag::kActivations), 600);
  EXPECT_EQ(Of(forward, MemoryTag::kGradients), 0);
  EXPECT_EQ(account->peak(StepPhase::kBackward).device_bytes, 1800);
  EXPECT_EQ(account->peak(StepPhase::kSetup).device_bytes, 1000);
  EXPECT_EQ(account->peak(StepPhase::kReduce).device_bytes, 0);
  EXPECT_FALSE(account->seen(StepPhase::kReduce));
}

TEST(MemoryPeaks, APhaseThatAllocatesNothingHasWhatWasHeld) {
  const auto account = MemoryAccount::Create();
  const BindMemory bound(account);
  const at::Tensor held = Hold(700);
  { const PhaseScope optimizer(StepPhase::kOptimizer); }
  EXPECT_EQ(account->peak(StepPhase::kOptimizer).device_bytes, 700);
}

TEST(MemoryPeaks, HostHasItsOwn) {
  const auto account = MemoryAccount::Create();
  const BindMemory bound(account);
  {
    const MemoryScope scope(MemoryTag::kHost);
    const at::Tensor staging = Hold(9000);
  }
  const at::Tensor device = Hold(10);
  EXPECT_EQ(account->peak().host_bytes, 9000);
  EXPECT_EQ(account->peak().device_bytes, 10);
  EXPECT_EQ(Of(account->peak(), MemoryTag::kHost), 0);  // at the device's peak
}

TEST(MemoryPeaks, ResetStartsFromWhatIsHeld) {
  const auto account = MemoryAccount::Create();
  const BindMemory bound(account);
  const at::Tensor held = Hold(100);
  {
    const PhaseScope forward(StepPhase::kForward);
    Hold(1000);
  }
  EXPECT_EQ(account->peak().device_bytes, 1100);
  account->ResetPeaks();
  EXPECT_EQ(account->peak().device_bytes, 100);
  EXPECT_EQ(account->peak(StepPhase::kForward).device_bytes, 0);
  EXPECT_FALSE(account->seen(StepPhase::kForward));
}

TEST(MemoryPeaks, ScopesOfOneThreadAreNotAnothers) {
  const auto account = MemoryAccount::Create();
  const BindMemory bound(account);
  const PhaseScope forward(StepPhase::kForward);
  const MemoryScope scope(MemoryTag::kParameters);
  at::Tensor other;
  std::thread([&] {
    const BindMemory mine(account);
    other = Hold(64);
  }).join();
  EXPECT_EQ(Now(*account, MemoryTag::kTemporary), 64);
  EXPECT_EQ(account->peak(StepPhase::kSetup).device_bytes, 64);
}

TEST(MemoryAccountTable, HasATagARowAndAPhaseAColumn) {
  const auto account = MemoryAccount::Create();
  const BindMemory bound(account);
  at::Tensor weights;
  {
    const MemoryScope scope(MemoryTag::kParameters);
    weights = Hold(2 * kMiB);
  }
  {
    const PhaseScope forward(StepPhase::kForward);
    {
      const MemoryScope scope(MemoryTag::kHost);
      Hold(3 * kMiB);
    }
    Hold(512 * kKiB);
  }
  EXPECT_EQ(AccountTable(*account, false),
            "memory             now       peak    setup    forward\n"
            "parameters     2.0 MiB    2.0 MiB  2.0 MiB    2.0 MiB\n"
            "gradients          0 B        0 B      0 B        0 B\n"
            "optimizer          0 B        0 B      0 B        0 B\n"
            "activations        0 B        0 B      0 B        0 B\n"
            "communication      0 B        0 B      0 B        0 B\n"
            "temporary          0 B  512.0 KiB      0 B  512.0 KiB\n"
            "device         2.0 MiB    2.5 MiB  2.0 MiB    2.5 MiB\n"
            "host               0 B    3.0 MiB      0 B    3.0 MiB\n");
  EXPECT_THAT(AccountTable(*account, true), ::testing::HasSubstr("│ device        │ 2.0 MiB │"));
}

}  // namespace
}  // namespace orthant::testing
