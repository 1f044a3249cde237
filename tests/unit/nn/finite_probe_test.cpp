// Which of several tensors that are not finite is told: the first in the order of computation, whatever the
// order of looking.
#include "orthant/nn/finite_probe.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "ATen/ATen.h"

namespace orthant {
namespace {

at::Tensor With(double number, at::ScalarType dtype = at::kFloat) {
  at::Tensor tensor = at::ones({3, 5}, dtype);
  tensor[1][4] = number;
  return tensor;
}

TEST(ProbeMoment, MicrobatchThenForwardBeforeBackwardThenDepth) {
  const std::vector<ProbeMoment> in_order = {{0, false, 0}, {0, false, 1},  {0, false, 1000000},
                                             {0, true, 0},  {0, true, 7},   {1, false, 0},
                                             {1, true, 0},  {300, false, 0}};
  for (size_t i = 0; i + 1 < in_order.size(); ++i) {
    EXPECT_LT(in_order[i].Key(), in_order[i + 1].Key()) << i;
  }
  EXPECT_LT((ProbeMoment{(1 << 30) - 1, true, 1 << 30}.Key()), int64_t{1} << 62);
}

TEST(FiniteProbe, FindsNothingWhereAllIsFinite) {
  FiniteProbe probe;
  probe.Check({0, false, 0}, "output of block 0", at::ones({4}));
  probe.Check({0, true, 0}, "gradient of w", With(std::numeric_limits<float>::max()));
  probe.Check({0, true, 1}, "nothing", at::empty({0}));
  EXPECT_FALSE(probe.found());
  EXPECT_EQ(probe.key(), std::numeric_limits<int64_t>::max());
}

TEST(FiniteProbe, KeepsTheEarliestInWhicheverOrderTheyCome) {
  FiniteProbe probe;
  probe.Check({1, true, 3}, "late", With(NAN));
  EXPECT_EQ(probe.what(), "late");
  probe.Check({0, true, 9}, "early", With(INFINITY));
  EXPECT_EQ(probe.what(), "early");
  EXPECT_EQ(probe.key(), (ProbeMoment{0, true, 9}.Key()));
  probe.Check({0, true, 9}, "of the same moment", With(NAN));
  probe.Check({0, true, 10}, "later", With(NAN));
  probe.Check({0, false, 2}, "earlier, but finite", With(1.0));
  EXPECT_EQ(probe.what(), "early");
  probe.Check({0, false, 2}, "output of block 1", With(-INFINITY));
  EXPECT_EQ(probe.what(), "output of block 1");
}

TEST(FiniteProbe, LooksAtEveryType) {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const double number : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
      FiniteProbe probe;
      probe.Check({0, false, 0}, "x", With(number, dtype));
      EXPECT_TRUE(probe.found()) << dtype << " " << number;
    }
  }
  FiniteProbe probe;
  probe.Check({0, false, 0}, "x", With(70000.0, at::kHalf));  // beyond fp16's largest, 65504
  EXPECT_TRUE(probe.found());
}

}  // namespace
}  // namespace orthant
