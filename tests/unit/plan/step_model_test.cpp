#include "orthant/plan/step_model.h"

#include "gtest/gtest.h"
#include "orthant/pipeline_parallel/generators.h"
#include "orthant/pipeline_parallel/simulation.h"
#include "unit/plan/plan_samples.h"

namespace orthant {
namespace {

using testing::SampleMachine;
using testing::SampleWorkload;

TEST(Matmul, TakesItsFlopsOrItsBytesAndWholeWaves) {
  Machine m = SampleMachine();
  m.calibration.constants.matmul = 0.8;
  const double flops = 2.0 * 8192 * 8192 * 8192;
  const double seconds = MatmulSeconds(m, 8192, 8192, 8192, 1, 2);
  EXPECT_GT(seconds, flops / (0.8 * 300e12));
  EXPECT_LT(seconds, 1.2 * flops / (0.8 * 300e12));
  // Four rows of tiles more than a wave: five waves of tiles of a quarter of the size, at 0.8 of the rate.
  const double wave = MatmulSeconds(m, 256 * 27, 512, 8192, 1, 2);
  EXPECT_NEAR(MatmulSeconds(m, 256 * 28, 512, 8192, 1, 2) / wave, 5 * 0.25 / 0.8, 0.02);
  // A thin product waits for memory: [8192, 1] by [1, 8192] writes 128 MiB.
  EXPECT_GE(MatmulSeconds(m, 8192, 8192, 1, 1, 2), 2.0 * 8192 * 8192 / m.MemoryRate());
  // fp32 has half the rate.
  EXPECT_NEAR(MatmulSeconds(m, 8192, 8192, 8192, 1, 4) / seconds, 2, 0.01);
}

TEST(Groups, ArePlacedAsTheMeshOrdersRanks) {
  const Machine m = SampleMachine();
  const PlannedLayout l{.data = 16, .tensor = 4, .pipeline = 2};
  EXPECT_FALSE(TensorGroup(m, l).crosses());
  EXPECT_EQ(CopyGroup(m, l).in_node, 2);
  EXPECT_EQ(CopyGroup(m, l).nodes, 8);
  EXPECT_EQ(CopyGroup(m, l).sharing, 4);  // one for each tensor rank of the node
  EXPECT_TRUE(TensorGroup(m, {.tensor = 16}).crosses());
  EXPECT_TRUE(StagesCross(m, l));
  EXPECT_FALSE(StagesCross(m, {.tensor = 2, .pipeline = 4}));
  // Four stages to a node: the fourth's next one is on another, and has the node's network to itself.
  const PlannedLayout thin{.tensor = 2, .pipeline = 8};
  EXPECT_TRUE(StagesCross(m, thin));
  EXPECT_NEAR(SendSeconds(m, thin, 1e9), 1e9 / (m.NetworkRate() / 2) + m.constants().send_latency, 1e-9);
}

TEST(AllReduce, IsATableInTheNodeAndANetworkAcross) {
  Machine m = SampleMachine();
  const double ring = AllReduceSeconds(m, Place(m, 8, 1), 1e9);
  EXPECT_NEAR(ring, 2 * 7.0 / 8 * 1e9 / (300e9 * 0.8), 1e-3);
  m.calibration.all_reduce_8.points = {1e6, 1e-4, 1e9, 1e-2};
  EXPECT_DOUBLE_EQ(AllReduceSeconds(m, Place(m, 8, 1), 1e9), 1e-2);
  EXPECT_DOUBLE_EQ(AllReduceSeconds(m, Place(m, 8, 1), 2e9), 2e-2);          // beyond the last point
  EXPECT_DOUBLE_EQ(AllReduceSeconds(m, Place(m, 8, 1), 10), 1e-4);           // below the first
  EXPECT_NEAR(AllReduceSeconds(m, Place(m, 8, 1), 500.5e6), 5.05e-3, 1e-6);  // between
  EXPECT_GT(AllReduceSeconds(m, Place(m, 16, 1), 1e9), 2e-2);
}

TEST(Pipeline, IsWhatTheSimulatorSays) {
  for (const char* name : {"1f1b", "gpipe"}) {
    for (const int ranks : {2, 4, 8}) {
      for (const int microbatches : {1, 4, 8, 32}) {
        const absl::StatusOr<Schedule> schedule = GenerateSchedule(name, {ranks, microbatches, 1});
        ASSERT_TRUE(schedule.ok());
        const absl::StatusOr<Simulation> simulated = Simulate(*schedule);
        ASSERT_TRUE(simulated.ok());
        EXPECT_DOUBLE_EQ(
            PipelineSeconds(std::vector<double>(static_cast<size_t>(ranks), 3.0), microbatches, 1),
            simulated->makespan)
            << name << " " << ranks << " " << microbatches;
      }
    }
  }
}

TEST(Pipeline, OfUnequalStagesIsBoundedByTheSimulator) {
  const absl::StatusOr<Schedule> schedule = GenerateSchedule("1f1b", {4, 16, 1});
  ScheduleCosts costs;  // forward 1, backward 2
  costs.stage_weight = [](int stage) { return stage == 3 ? 1.4 : 1.0; };
  const double simulated = Simulate(*schedule, costs)->makespan;
  EXPECT_NEAR(PipelineSeconds({3, 3, 3, 4.2}, 16, 1) / simulated, 1, 0.03);
}

TEST(Step, PartsAddUpAndShrinkWithRanks) {
  const Machine m = SampleMachine();
  const Workload w = SampleWorkload(24, 4096, 32, 256);
  for (const PlannedLayout& l :
       {PlannedLayout{.data = 16}, PlannedLayout{.data = 2, .tensor = 8},
        PlannedLayout{.data = 2, .tensor = 2, .pipeline = 4, .recompute = Recompute::kFull},
        PlannedLayout{.data = 4, .tensor = 2, .sequence = 2, .zero = 3, .tensor_sequence = true}}) {
    const StepPrediction p = Predict(m, w, l)->time;
    const StepParts& s = p.parts;
    EXPECT_NEAR(s.compute + s.tensor + s.sequence + s.pipeline + s.data + s.bubble + s.optimizer + s.overhead,
                p.step, 1e-9 * p.step);
    EXPECT_GT(s.compute, 0.3 * p.step) << l.ToString();
    EXPECT_GT(p.mfu, 0.1) << l.ToString();
    EXPECT_LT(p.hfu, 1) << l.ToString();
    EXPECT_GE(p.hfu, p.mfu);
    for (const double part : {s.tensor, s.sequence, s.pipeline, s.data, s.bubble, s.optimizer})
      EXPECT_GE(part, 0);
  }
}

// By the textbook: a reduce-scatter and a gather of n ranks send (n - 1) / n of the whole each.
TEST(Step, BytesGoToTheLinksThatCarryThem) {
  const Machine m = SampleMachine();
  const Workload w = SampleWorkload(24, 4096, 32, 256);
  const double elements = StageParameters(w.model, {}, 24, true, true);
  const auto sent = [&](int64_t zero, int64_t shard_ranks) {
    return Predict(m, w, {.data = 64, .zero = zero, .shard_ranks = shard_ranks})->time.sent;
  };
  EXPECT_NEAR(sent(0, 0).network, 2 * 63.0 / 64 * 4 * elements, 1);
  EXPECT_EQ(sent(0, 0).node, 0);
  EXPECT_NEAR(sent(1, 0).network, 63.0 / 64 * (4 + 2) * elements, 1);
  // Shards of a node of eight: between the nodes go the eight copies' shards alone.
  EXPECT_NEAR(sent(1, 8).network, 2 * 7.0 / 8 * 4 * elements / 8, 1);
  EXPECT_NEAR(sent(1, 8).node, 7.0 / 8 * (4 + 2) * elements, 1);
  EXPECT_NEAR(sent(3, 8).network, 2 * 7.0 / 8 * 4 * elements / 8, 1);
}

TEST(Step, TensorAcrossNodesIsSlower) {
  const Machine m = SampleMachine();
  const Workload w = SampleWorkload(24, 4096, 32, 256);
  const double inside = Predict(m, w, {.data = 2, .tensor = 8, .micro_batch = 4})->time.step;
  const double across = Predict(m, w, {.data = 1, .tensor = 16, .micro_batch = 4})->time.step;
  EXPECT_GT(across, 1.3 * inside);
}

TEST(Step, FullRecomputeCostsAThirdOfComputeAndGradientOverlapSavesTime) {
  Machine m = SampleMachine();
  const Workload w = SampleWorkload(24, 4096, 32, 256);
  const double none = Predict(m, w, {.data = 8})->time.parts.compute;
  const double full = Predict(m, w, {.data = 8, .recompute = Recompute::kFull})->time.parts.compute;
  EXPECT_NEAR(full / none, 1.33, 0.06);
  const PlannedLayout tensor{.tensor = 8};
  const double exposed = Predict(m, w, tensor)->time.step;
  m.calibration.software.gradient_overlap = true;
  EXPECT_LT(Predict(m, w, tensor)->time.step, exposed);
}

TEST(Step, LayersThatDoNotDivideAreAnErrorOrUneven) {
  Machine m = SampleMachine();
  const Workload w = SampleWorkload(30, 1024, 16, 256);
  EXPECT_FALSE(Predict(m, w, {.pipeline = 4}).ok());
  m.calibration.software.uneven_stages = true;
  EXPECT_TRUE(Predict(m, w, {.pipeline = 4}).ok());
}

}  // namespace
}  // namespace orthant
