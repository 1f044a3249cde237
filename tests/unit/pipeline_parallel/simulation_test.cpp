#include "orthant/pipeline_parallel/simulation.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/pipeline_parallel/generators.h"
#include "orthant/pipeline_parallel/schedule_text.h"

namespace orthant {
namespace {

TEST(Simulation, BubbleOfGpipeAnd1F1BIsTheClosedForm) {
  for (const std::string& name : ScheduleNames()) {
    for (int p = 1; p <= 8; ++p) {
      for (int m = 1; m <= 16; ++m) {
        // p <= m: with fewer microbatches than stages the formula holds too, since both fill and drain once.
        const auto schedule = GenerateSchedule(name, {.ranks = p, .microbatches = m});
        const auto result = Simulate(*schedule);
        ASSERT_TRUE(result.ok()) << result.status();
        EXPECT_DOUBLE_EQ(result->makespan, 3.0 * (m + p - 1)) << name << " p " << p << " m " << m;
        for (int rank = 0; rank < p; ++rank) {
          EXPECT_NEAR(result->bubble[rank], (p - 1.0) / (m + p - 1.0), 1e-12);
          EXPECT_DOUBLE_EQ(result->busy[rank], 3.0 * m);
        }
      }
    }
  }
}

TEST(Simulation, ItsActionsAddUpToIt) {
  const auto schedule = MakeSchedule("1f1b", {.ranks = 3, .microbatches = 5});
  ScheduleCosts costs;
  costs.forward = 2;
  costs.backward = 3;
  costs.transfer = 0.5;
  costs.stage_weight = [](int stage) { return 1.0 + stage; };
  const auto result = Simulate(*schedule, costs);
  const auto actions = SimulateActions(*schedule, costs);
  ASSERT_TRUE(actions.ok()) << actions.status();
  ASSERT_EQ(actions->size(), 3u * 5 * 2) << "compute alone";
  std::vector<double> busy(3, 0.0), until(3, 0.0);
  double makespan = 0;
  for (const SimulatedAction& a : *actions) {
    EXPECT_GE(a.begin, until[a.rank]) << "one action at a time";
    until[a.rank] = a.end;
    busy[a.rank] += a.end - a.begin;
    makespan = std::max(makespan, a.end);
  }
  EXPECT_DOUBLE_EQ(makespan, result->makespan);
  for (int rank = 0; rank < 3; ++rank) EXPECT_DOUBLE_EQ(busy[rank], result->busy[rank]);
  EXPECT_FALSE(SimulateActions(Schedule{.ranks = 2}).ok()) << "no rows";
}

TEST(Simulation, LiveActivations) {
  for (int p = 1; p <= 8; ++p) {
    for (int m = 1; m <= 16; ++m) {
      const auto one_f_one_b = Simulate(*GenerateSchedule("1f1b", {.ranks = p, .microbatches = m}));
      const auto gpipe = Simulate(*GenerateSchedule("gpipe", {.ranks = p, .microbatches = m}));
      const auto forward = Simulate(ForwardOnly(p, m));
      for (int rank = 0; rank < p; ++rank) {
        EXPECT_EQ(one_f_one_b->live_activations[rank], std::min(m, p - rank));
        EXPECT_EQ(gpipe->live_activations[rank], m);
        EXPECT_EQ(forward->live_activations[rank], 1);
      }
    }
  }
}

TEST(Simulation, LoweredAndComputeSchedulesTakeTheSameTime) {
  const auto compute = Simulate(*GenerateSchedule("1f1b", {.ranks = 4, .microbatches = 8}));
  const auto lowered = Simulate(*MakeSchedule("1f1b", {.ranks = 4, .microbatches = 8}));
  EXPECT_DOUBLE_EQ(compute->makespan, lowered->makespan);
}

TEST(Simulation, TransfersAndUnevenStagesCost) {
  const auto schedule = GenerateSchedule("gpipe", {.ranks = 2, .microbatches = 1});
  ScheduleCosts costs;
  costs.transfer = 0.5;
  EXPECT_DOUBLE_EQ(Simulate(*schedule, costs)->makespan, 1 + 0.5 + 1 + 2 + 0.5 + 2);
  costs.stage_weight = [](int stage) { return stage == 0 ? 1.0 : 3.0; };
  EXPECT_DOUBLE_EQ(Simulate(*schedule, costs)->makespan, 1 + 0.5 + 3 + 6 + 0.5 + 2);
  EXPECT_DOUBLE_EQ(Simulate(*schedule, costs)->busy[1], 9);
}

TEST(Simulation, SplitBackwardHoldsActivationsUntilItsSecondHalf) {
  const auto schedule = ParseSchedule("0F0,0I0,0F1,0I1,0W0,0W1\n", "mine");
  const auto result = Simulate(*schedule);
  EXPECT_EQ(result->live_activations[0], 2);
  EXPECT_DOUBLE_EQ(result->makespan, 6);
}

TEST(Simulation, OrdersThatCannotRunAreRefused) {
  const auto result = Simulate(*ParseSchedule("0F0,0B0,0F1,0B1\n1F1,1B1,1F0,1B0\n", "mine"));
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(std::string(result.status().message()), ::testing::HasSubstr("<-- ERROR HERE"));
}

}  // namespace
}  // namespace orthant
