// The loss scale's walk, step by step.
#include "orthant/optim/loss_scale.h"

#include <gtest/gtest.h>

#include "orthant/config/fields.h"

namespace orthant {
namespace {

using Verdict = LossScale::Verdict;

LossScaleConfig Config() {
  return {.initial = 1024, .window = 3, .hysteresis = 2, .factor = 2, .smallest = 256};
}

TEST(LossScale, GrowsAfterAWindowOfFiniteSteps) {
  LossScale scale(Config(), true);
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(scale.value(), 1024 << round);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(scale.After(true), Verdict::kApply);
  }
  EXPECT_EQ(scale.value(), 1024 << 3);
  EXPECT_EQ(scale.skipped(), 0);
}

TEST(LossScale, ANonFiniteStepBeginsTheWindowAnew) {
  LossScale scale(Config(), true);
  scale.After(true);
  scale.After(true);
  EXPECT_EQ(scale.After(false), Verdict::kSkip);
  scale.After(true);
  scale.After(true);
  EXPECT_EQ(scale.value(), 1024);
  scale.After(true);
  EXPECT_EQ(scale.value(), 2048);
}

TEST(LossScale, FallsAfterHysteresisAndThenWithEach) {
  LossScale scale(Config(), true);
  EXPECT_EQ(scale.After(false), Verdict::kSkip);
  EXPECT_EQ(scale.value(), 1024);  // borne once
  EXPECT_EQ(scale.After(true), Verdict::kApply);
  EXPECT_EQ(scale.After(false), Verdict::kSkip);
  EXPECT_EQ(scale.value(), 512);
  EXPECT_EQ(scale.After(false), Verdict::kSkip);
  EXPECT_EQ(scale.value(), 256);
  EXPECT_EQ(scale.skipped(), 3);
}

TEST(LossScale, GrowingRestoresTheHysteresis) {
  LossScale scale(Config(), true);
  scale.After(false);
  scale.After(false);
  EXPECT_EQ(scale.value(), 512);
  for (int i = 0; i < 3; ++i) scale.After(true);
  EXPECT_EQ(scale.value(), 1024);
  scale.After(false);
  EXPECT_EQ(scale.value(), 1024);
  scale.After(false);
  EXPECT_EQ(scale.value(), 512);
}

TEST(LossScale, StopsRatherThanFallBelowTheSmallest) {
  LossScale scale(Config(), true);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(scale.After(false), Verdict::kSkip);
  EXPECT_EQ(scale.value(), 256);
  EXPECT_EQ(scale.After(false), Verdict::kStop);
  EXPECT_EQ(scale.value(), 256);
  EXPECT_EQ(scale.skipped(), 3);
}

TEST(LossScale, InactiveIsOneAndStopsAtOnce) {
  LossScale scale(Config(), false);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(scale.After(true), Verdict::kApply);
  EXPECT_EQ(scale.value(), 1.0);
  EXPECT_EQ(scale.After(false), Verdict::kStop);
  EXPECT_EQ(scale.value(), 1.0);
  EXPECT_FALSE(scale.active());
}

TEST(LossScale, ARestoredStateGoesOnAlike) {
  LossScale scale(Config(), true);
  for (bool finite : {true, false, true, true}) scale.After(finite);
  LossScale again(Config(), true);
  again.Restore(scale.state());
  for (bool finite : {true, false, false, true, true, true, false}) {
    EXPECT_EQ(again.After(finite), scale.After(finite));
    EXPECT_EQ(again.state(), scale.state());
  }
  EXPECT_GT(scale.skipped(), 2);
}

TEST(LossScale, IsDescribed) {
  LossScaleConfig config;
  Fields fields;
  Describe(fields, config);
  for (const char* key : {"initial", "window", "hysteresis", "factor", "smallest"}) {
    ASSERT_NE(fields.Find(key), nullptr) << key;
    EXPECT_FALSE(fields.Find(key)->doc().empty()) << key;
  }
  EXPECT_EQ(std::get<double>(fields.Find("initial")->Get()), 65536.0);
}

}  // namespace
}  // namespace orthant
