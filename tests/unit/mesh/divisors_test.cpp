#include "orthant/mesh/divisors.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace orthant {
namespace {

using ::testing::ElementsAre;

TEST(Divisors, AreCompleteAndAscending) {
  EXPECT_THAT(Divisors(1), ElementsAre(1));
  EXPECT_THAT(Divisors(12), ElementsAre(1, 2, 3, 4, 6, 12));
  EXPECT_THAT(Divisors(49), ElementsAre(1, 7, 49));
}

TEST(Divisors, NearestIsTheValueItselfWhereItDivides) {
  EXPECT_THAT(NearestDivisors(12, 4), ElementsAre(4));
  EXPECT_THAT(NearestDivisors(12, 5), ElementsAre(4, 6));
  EXPECT_THAT(NearestDivisors(12, 100), ElementsAre(12));
  EXPECT_THAT(NearestDivisors(12, 0), ElementsAre(1));
  EXPECT_THAT(NearestDivisors(7, 3), ElementsAre(1, 7));
}

TEST(Divisors, NearestAgreesWithASearch) {
  for (int64_t n = 1; n <= 60; ++n) {
    for (int64_t value = -2; value <= 70; ++value) {
      std::vector<int64_t> expected;
      for (int64_t d = value < n ? value : n; d >= 1; --d) {
        if (n % d == 0) {
          expected.push_back(d);
          break;
        }
      }
      for (int64_t d = value > 1 ? value : 1; d <= n; ++d) {
        if (n % d == 0) {
          if (expected.empty() || expected.back() != d) expected.push_back(d);
          break;
        }
      }
      ASSERT_EQ(NearestDivisors(n, value), expected) << n << " " << value;
    }
  }
}

TEST(Divisors, NearestMultiples) {
  EXPECT_THAT(NearestMultiples(4, 12), ElementsAre(12));
  EXPECT_THAT(NearestMultiples(4, 13), ElementsAre(12, 16));
  EXPECT_THAT(NearestMultiples(4, 3), ElementsAre(4));
  EXPECT_THAT(NearestMultiples(4, -3), ElementsAre(4));
}

TEST(Divisors, AnyOfReadsAsASentence) {
  EXPECT_EQ(AnyOf({}), "none");
  EXPECT_EQ(AnyOf({2}), "2");
  EXPECT_EQ(AnyOf({2, 4}), "2 or 4");
  EXPECT_EQ(AnyOf({1, 2, 4}), "1, 2 or 4");
}

}  // namespace
}  // namespace orthant
