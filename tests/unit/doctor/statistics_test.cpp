#include "orthant/doctor/statistics.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace orthant::doctor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Statistics, MiddleValues) {
  EXPECT_EQ(LowMedian({4, 1, 3, 2}), 2);
  EXPECT_EQ(LowMedian({9, 7}), 7);
  EXPECT_EQ(LowMedian({}), 0);
}

TEST(Statistics, SigmaOfANormalDistributionAndNotOfItsOutliers) {
  // Quantiles of the standard normal distribution at 1/8 ... 7/8.
  std::vector<double> values = {-1.15, -0.674, -0.319, 0, 0.319, 0.674, 1.15};
  EXPECT_NEAR(RobustSigma(values), 1.0, 0.01);
  values.push_back(1e6);
  EXPECT_LT(RobustSigma(values), 2);
  EXPECT_EQ(RobustSigma({5}), 0);
}

TEST(Statistics, OddOnes) {
  const OddRule rule{.factor = 2, .sigmas = 6};
  EXPECT_THAT(OddOnes({1, 1, 1, 1}, rule), IsEmpty());
  EXPECT_THAT(OddOnes({1, 1, 9, 1}, rule), ElementsAre(2));
  EXPECT_THAT(OddOnes({9, 1, 1, 30, 1}, rule), ElementsAre(3, 0)) << "worst first";
  EXPECT_THAT(OddOnes({9, 9, 1, 1}, rule), ElementsAre(0, 1)) << "half of them";
  EXPECT_THAT(OddOnes({1, 9}, rule), IsEmpty()) << "of two nobody is odd";
  EXPECT_THAT(OddOnes({}, rule), IsEmpty());
  EXPECT_THAT(OddOnes({0, 0, 0, 0}, rule), IsEmpty());
}

TEST(Statistics, NoiseIsNotOdd) {
  // Twice as slow as typical, but no further away than the others are spread.
  EXPECT_THAT(OddOnes({1.0, 1.3, 0.7, 1.6, 0.6, 2.2}, {.factor = 2, .sigmas = 6}), IsEmpty());
  EXPECT_THAT(OddOnes({1.0, 1.3, 0.7, 1.6, 0.6, 22}, {.factor = 2, .sigmas = 6}), ElementsAre(5));
  EXPECT_THAT(OddOnes({1e-6, 1e-6, 5e-6}, {.factor = 2, .floor = 20e-6}), IsEmpty()) << "below the floor";
}

}  // namespace
}  // namespace orthant::doctor
