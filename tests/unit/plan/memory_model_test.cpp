#include "orthant/plan/memory_model.h"

#include <cmath>

#include "gtest/gtest.h"
#include "orthant/core/text.h"
#include "orthant/plan/step_model.h"
#include "unit/plan/plan_samples.h"

namespace orthant {
namespace {

using testing::SampleMachine;
using testing::SampleWorkload;

// arXiv 2205.05198, table 2, in bytes over s b h; the rows' statistics are ours alone.
TEST(Activations, AreMegatronsFormulas) {
  const Machine machine = SampleMachine();
  const Workload w = SampleWorkload(48, 6144, 64, 4);
  const double sbh = 2048.0 * 4 * 6144, scores = 5.0 * 64 * 2048 / 6144;
  const auto kept = [&](int64_t t, bool sharded, Recompute recompute) {
    PlannedLayout l{.tensor = t, .recompute = recompute, .micro_batch = 4, .tensor_sequence = sharded};
    return ActivationsOfBlock(machine, w, l).kept / sbh;
  };
  EXPECT_NEAR(kept(1, false, Recompute::kNone), 34 + scores, 0.01);
  EXPECT_NEAR(kept(8, false, Recompute::kNone), 10 + 24.0 / 8 + scores / 8, 0.01);
  EXPECT_NEAR(kept(8, true, Recompute::kNone), (34 + scores) / 8, 0.01);
  EXPECT_NEAR(kept(8, false, Recompute::kSelective), 10 + 24.0 / 8, 0.01);
  EXPECT_NEAR(kept(8, true, Recompute::kSelective), 34.0 / 8, 0.01);
  EXPECT_NEAR(kept(1, false, Recompute::kFull), 2, 0.01);
}

TEST(Activations, FusedAttentionKeepsNoScores) {
  Machine machine = SampleMachine();
  machine.calibration.software.attention = "fused";
  Workload w = SampleWorkload(48, 6144, 64, 4);
  w.model.dropout = 0;
  const double sbh = 2048.0 * 4 * 6144;
  EXPECT_NEAR(ActivationsOfBlock(machine, w, {.micro_batch = 4}).kept / sbh, 32, 0.1);
  w.model.dropout = 0.1;
  machine.calibration.software.fused_dropout = false;
  EXPECT_GT(ActivationsOfBlock(machine, w, {.micro_batch = 4}).kept / sbh, 100);
}

// arXiv 1910.02054, table 1: 7.5 B parameters, 16 bytes each.
TEST(States, AreThoseOfTheZeroPaper) {
  const Machine machine = SampleMachine();
  Workload w = SampleWorkload(1, 128, 1, 1024);
  w.model.vocab = 7500000000 / 128;
  w.precision.gradient = 2;
  const double expected[4][2] = {{120, 120}, {31.4, 30.1}, {16.6, 15.1}, {1.88, 0.12}};
  for (int64_t zero = 0; zero <= 3; ++zero) {
    for (const int64_t ranks : {64, 1024}) {
      const PlannedLayout l{.data = ranks, .zero = zero};
      const std::vector<StageMemory> stages = MemoryOfStages(machine, w, l, {}, {1});
      const double gigabytes = (stages[0].parameters + stages[0].gradients + stages[0].optimizer) / 1e9;
      EXPECT_NEAR(gigabytes, expected[zero][ranks == 64 ? 0 : 1], 0.06) << "stage " << zero << ", " << ranks;
    }
  }
}

TEST(Stages, HoldTheMicrobatchesThatTheirScheduleHas) {
  const Machine machine = SampleMachine();
  const Workload w = SampleWorkload(8, 1024, 16, 64);
  PlannedLayout l{.pipeline = 4};
  const std::vector<int64_t> layers(4, 2);
  const BlockActivations block{.whole = 1e6, .kept = 1e6};
  std::vector<StageMemory> stages = MemoryOfStages(machine, w, l, block, layers);
  const double mask = 2048.0 * 1024;
  EXPECT_DOUBLE_EQ(stages[0].activations, 4 * (2e6 + mask));
  EXPECT_DOUBLE_EQ(stages[2].activations, 2 * 2e6);
  l.schedule = PlanSchedule::kGpipe;
  stages = MemoryOfStages(machine, w, l, block, layers);
  EXPECT_DOUBLE_EQ(stages[2].activations, 64 * 2e6);
}

TEST(Offload, TakesStatesToTheHost) {
  const Machine machine = SampleMachine();
  const Workload w = SampleWorkload(8, 1024, 16, 64);
  const BlockActivations block;
  const std::vector<int64_t> layers = {8};
  PlannedLayout l{.data = 8, .zero = 3};
  const StageMemory device = MemoryOfStages(machine, w, l, block, layers)[0];
  l.offload = Offload::kAll;
  const StageMemory host = MemoryOfStages(machine, w, l, block, layers)[0];
  EXPECT_EQ(host.optimizer + host.parameters, 0);
  EXPECT_DOUBLE_EQ(host.host, device.optimizer + device.parameters);
}

// docs/memory.md, "Settings, and what each saves": the trainer's account of 8 layers, 256 wide, context 256,
// vocabulary 512, fp32, 4 data ranks, 2 microbatches of 2.
TEST(Memory, IsWithinEightPercentOfTheTrainersAccount) {
  Machine machine = SampleMachine();
  Software orthant;
  orthant.fused_dropout = false;
  orthant.loss_bytes = 0;
  machine.calibration.software = orthant;
  Workload w;
  w.model = {.layers = 8, .heads = 8, .hidden = 256, .context = 256, .vocab = 512};
  w.global_batch = 16;
  w.dtype = "fp32";
  w.precision = PrecisionOfDtype("fp32");
  const struct {
    PlannedLayout layout;
    double measured;  // MiB, at the peak
  } cases[] = {
      {{.data = 4, .micro_batch = 2}, 167.3},
      {{.data = 4, .zero = 1, .micro_batch = 2}, 130.1},
      {{.data = 4, .zero = 2, .micro_batch = 2}, 118.3},
      {{.data = 4, .zero = 3, .micro_batch = 2}, 102.7},
      {{.data = 4, .zero = 1, .offload = Offload::kOptimizer, .micro_batch = 2}, 117.7},
      {{.data = 4, .recompute = Recompute::kFull, .micro_batch = 2}, 115.1},
      {{.data = 4, .micro_batch = 1}, 133.7},
  };
  for (const auto& one : cases) {
    const double mib = Predict(machine, w, one.layout)->WorstStage().total() / (1 << 20);
    EXPECT_LT(std::abs(mib / one.measured - 1), 0.08)
        << one.layout.ToString() << ": " << mib << " against " << one.measured;
  }
}

}  // namespace
}  // namespace orthant
