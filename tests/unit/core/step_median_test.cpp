#include "orthant/core/step_median.h"

#include <cmath>

#include "gtest/gtest.h"

namespace orthant::testing {
namespace {

TEST(StepMedian, LeavesOutTheFirstSteps) {
  EXPECT_EQ(WarmUpSteps(0), 0);
  EXPECT_EQ(WarmUpSteps(1), 0);
  EXPECT_EQ(WarmUpSteps(2), 1);
  EXPECT_EQ(WarmUpSteps(40), 8);
  EXPECT_EQ(WarmUpSteps(1000), 10);
  EXPECT_EQ(MedianAfterWarmUp({7}), 7);
  EXPECT_EQ(MedianAfterWarmUp({9, 1, 5, 2}), 2);
  EXPECT_EQ(MedianAfterWarmUp({9, 1, 5, 2, 4}), 3) << "the mean of the two in the middle";
}

TEST(StepMedian, WhatIsNotFiniteDoesNotCount) {
  EXPECT_EQ(MedianAfterWarmUp({9, NAN, 5, INFINITY, 4}), 4.5);
  EXPECT_TRUE(std::isnan(MedianAfterWarmUp({9, NAN})));
  EXPECT_TRUE(std::isnan(MedianAfterWarmUp({})));
}

}  // namespace
}  // namespace orthant::testing
