#include "orthant/optim/gradient_norm.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"

namespace orthant {
namespace {

at::Tensor Random(int64_t count, at::ScalarType dtype) {
  at::Generator generator = at::detail::createCPUGenerator(static_cast<uint64_t>(count));
  return at::randn({count}, generator, at::kDouble).to(dtype);
}

TEST(SumOfSquares, IsTorchsInDoublePrecision) {
  for (at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    // Around the widths of lanes (16) and blocks (8192).
    for (int64_t count : {0, 1, 15, 16, 17, 8191, 8192, 8193, 200003}) {
      const at::Tensor values = Random(count, dtype);
      const double expected = values.to(at::kDouble).square().sum().item<double>();
      EXPECT_NEAR(SumOfSquares(values), expected, 1e-13 * std::max(1.0, expected)) << count << " " << dtype;
    }
  }
}

TEST(SumOfSquares, SumsSinglePrecisionInDouble) {
  // 2^24 + 1 is no float: a sum in fp32 would lose every 1 after the first element.
  at::Tensor values = at::ones({1000}, at::kFloat);
  values[0] = 4096.0;
  EXPECT_EQ(SumOfSquares(values), 4096.0 * 4096.0 + 999.0);
  EXPECT_EQ(SumOfSquares(at::full({2}, 1e30f, at::kFloat)), 2.0 * 1e30f * static_cast<double>(1e30f));
}

TEST(SumOfSquares, OfSixteenBitsIsThatOfTheSameNumbersInFp32) {
  for (at::ScalarType dtype : {at::kBFloat16, at::kHalf}) {
    for (int64_t count : {0, 1, 17, 8191, 8193, 100003}) {
      const at::Tensor values = Random(count, dtype);
      EXPECT_EQ(SumOfSquares(values), SumOfSquares(values.to(at::kFloat))) << count << " " << dtype;
    }
    // Squares that the type itself does not hold.
    EXPECT_EQ(SumOfSquares(at::full({3}, 60000.0, at::kHalf)), 3 * 60000.0 * 60000.0);
  }
}

TEST(SumOfSquares, ThreadsChangeNoBit) {
  const int threads = at::get_num_threads();
  for (at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
    const at::Tensor values = Random(1000003, dtype);
    at::set_num_threads(1);
    const double one = SumOfSquares(values);
    at::set_num_threads(2);
    const double two = SumOfSquares(values);
    EXPECT_EQ(std::bit_cast<uint64_t>(one), std::bit_cast<uint64_t>(two));
  }
  at::set_num_threads(threads);
}

TEST(SumOfSquares, TellsWhatIsNotFinite) {
  for (at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
    at::Tensor values = at::ones({100}, dtype);
    values[57] = NAN;
    EXPECT_TRUE(std::isnan(SumOfSquares(values)));
    values[57] = INFINITY;
    EXPECT_TRUE(std::isinf(SumOfSquares(values)));
  }
}

TEST(ClipScale, LeavesSmallNormsAlone) {
  EXPECT_EQ(ClipScale(0.0, 1.0), 1.0);
  EXPECT_EQ(ClipScale(0.5, 1.0), 1.0);
  EXPECT_EQ(ClipScale(0.999, 1.0), 1.0);
}

TEST(ClipScale, BringsLargeNormsToTheLimit) {
  EXPECT_DOUBLE_EQ(ClipScale(4.0, 1.0), 1.0 / 4.000001);
  EXPECT_DOUBLE_EQ(ClipScale(10.0, 2.5), 2.5 / 10.000001);
  EXPECT_NEAR(1e4 * ClipScale(1e4, 1.0), 1.0, 1e-9);
}

TEST(ClipScale, ALimitOfZeroMeansNever) {
  EXPECT_EQ(ClipScale(1e9, 0.0), 1.0);
}

}  // namespace
}  // namespace orthant
