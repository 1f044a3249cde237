#include "orthant/plan/prediction_quality.h"

#include <gtest/gtest.h>

#include <cmath>

namespace orthant {
namespace {

TEST(PredictionQuality, OfFiguresWorkedOutByHand) {
  // Errors +10 %, -20 %, +50 %, 0.
  const PredictionQuality q = QualityOf({11, 8, 30, 20}, {10, 10, 20, 20});
  EXPECT_DOUBLE_EQ(q.mean, 0.2);
  EXPECT_DOUBLE_EQ(q.median, 0.15);
  EXPECT_NEAR(q.bias, 0.05, 1e-12);
  // Ranks 1 0 3 2 and, alike in pairs, 0.5 0.5 2.5 2.5: covariance 4, variances 5 and 4.
  EXPECT_NEAR(q.rank_correlation, 4 / std::sqrt(20.0), 1e-12);
  EXPECT_EQ(q.regret, 0);
}

TEST(PredictionQuality, RegretIsOfTheOnePredictedQuickest) {
  const PredictionQuality q = QualityOf({1.0, 2.0, 3.0}, {1.5, 1.2, 1.0});
  EXPECT_DOUBLE_EQ(q.regret, 0.5);
  EXPECT_DOUBLE_EQ(q.rank_correlation, -1);
}

TEST(PredictionQuality, OfOneAndOfNone) {
  EXPECT_DOUBLE_EQ(QualityOf({3}, {2}).mean, 0.5);
  EXPECT_EQ(QualityOf({3}, {2}).rank_correlation, 1);
  EXPECT_EQ(QualityOf(std::vector<double>(), {}).mean, 0);
}

}  // namespace
}  // namespace orthant
