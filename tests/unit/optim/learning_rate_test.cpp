#include "orthant/optim/learning_rate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace orthant {
namespace {

OptimizerConfig Schedule(const std::string& decay, int64_t warmup) {
  OptimizerConfig c;
  c.lr = 8e-3;
  c.min_lr = 2e-3;
  c.warmup = warmup;
  c.decay = decay;
  return c;
}

TEST(LearningRate, WarmupIsLinearFromTheFirstStep) {
  for (const char* decay : {"cosine", "linear", "constant"}) {
    const OptimizerConfig c = Schedule(decay, 4);
    EXPECT_DOUBLE_EQ(LearningRate(c, 1, 100), 2e-3) << decay;
    EXPECT_DOUBLE_EQ(LearningRate(c, 2, 100), 4e-3) << decay;
    EXPECT_DOUBLE_EQ(LearningRate(c, 3, 100), 6e-3) << decay;
    EXPECT_EQ(LearningRate(c, 4, 100), 8e-3) << decay;
  }
}

TEST(LearningRate, CosineFollowsTheFormula) {
  const OptimizerConfig c = Schedule("cosine", 10);
  for (int64_t step = 11; step <= 50; ++step) {
    const double expected = 2e-3 + 0.5 * 6e-3 * (1.0 + std::cos(std::numbers::pi * (step - 10) / 40.0));
    EXPECT_NEAR(LearningRate(c, step, 50), expected, 1e-17) << step;
  }
  EXPECT_NEAR(LearningRate(c, 30, 50), 5e-3, 1e-17);  // half way: the mean of both ends
  EXPECT_DOUBLE_EQ(LearningRate(c, 50, 50), 2e-3);
}

TEST(LearningRate, LinearFallsEvenly) {
  const OptimizerConfig c = Schedule("linear", 10);
  EXPECT_DOUBLE_EQ(LearningRate(c, 20, 40), 6e-3);
  EXPECT_DOUBLE_EQ(LearningRate(c, 25, 40), 5e-3);
  EXPECT_DOUBLE_EQ(LearningRate(c, 40, 40), 2e-3);
}

TEST(LearningRate, ConstantStaysAtTheTop) {
  const OptimizerConfig c = Schedule("constant", 10);
  for (int64_t step : {10, 11, 500, 1000}) EXPECT_EQ(LearningRate(c, step, 1000), 8e-3);
}

TEST(LearningRate, WithoutWarmupTheFirstStepIsAlreadyOnTheCurve) {
  EXPECT_EQ(LearningRate(Schedule("constant", 0), 1, 10), 8e-3);
  EXPECT_DOUBLE_EQ(LearningRate(Schedule("linear", 0), 1, 6), 7e-3);
  EXPECT_DOUBLE_EQ(LearningRate(Schedule("linear", 0), 6, 6), 2e-3);
  EXPECT_DOUBLE_EQ(LearningRate(Schedule("cosine", 0), 3, 6), 5e-3);
}

TEST(LearningRate, RunsThatEndInsideTheWarmup) {
  for (const char* decay : {"cosine", "linear", "constant"}) {
    EXPECT_DOUBLE_EQ(LearningRate(Schedule(decay, 8), 4, 4), 4e-3) << decay;
    EXPECT_EQ(LearningRate(Schedule(decay, 4), 4, 4), 8e-3) << decay;  // steps == warmup
  }
}

TEST(LearningRate, BeyondTheLastStepNothingFallsFurther) {
  for (const char* decay : {"cosine", "linear"}) {
    EXPECT_DOUBLE_EQ(LearningRate(Schedule(decay, 2), 21, 20), 2e-3) << decay;
    EXPECT_DOUBLE_EQ(LearningRate(Schedule(decay, 2), 1000, 20), 2e-3) << decay;
    EXPECT_DOUBLE_EQ(LearningRate(Schedule(decay, 2), 3, 2), 2e-3)
        << decay;  // no step was left to decay over
  }
}

TEST(LearningRate, NeverRisesAfterTheWarmup) {
  for (const char* decay : {"cosine", "linear", "constant"}) {
    const OptimizerConfig c = Schedule(decay, 5);
    for (int64_t step = 6; step <= 60; ++step) {
      EXPECT_LE(LearningRate(c, step, 60), LearningRate(c, step - 1, 60)) << decay << " " << step;
      EXPECT_GE(LearningRate(c, step, 60), decay == std::string("constant") ? c.lr : c.min_lr);
    }
  }
}

}  // namespace
}  // namespace orthant
