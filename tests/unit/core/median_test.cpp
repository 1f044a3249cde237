#include "orthant/core/median.h"

#include <gtest/gtest.h>

namespace orthant {
namespace {

TEST(MedianTest, TheMiddleOrTheMeanOfTheTwoInTheMiddle) {
  EXPECT_EQ(MedianOf({3}), 3);
  EXPECT_EQ(MedianOf({5, 1, 3}), 3);
  EXPECT_EQ(MedianOf({4, 1, 3, 2}), 2.5);
  EXPECT_EQ(MedianOf({}), 0);
}

TEST(MedianTest, QuantilesLieBetweenNeighboursByProportion) {
  EXPECT_EQ(Quantile({0, 10}, 0.25), 2.5);
  EXPECT_EQ(Quantile({3, 1, 2}, 1.0), 3);
  EXPECT_EQ(Quantile({3, 1, 2}, -1), 1) << "at least the least";
  EXPECT_EQ(Quantile({}, 0.5), 0);
}

}  // namespace
}  // namespace orthant
