#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/checkpoint/manifest.h"
#include "support/checkpoint_state.h"

namespace orthant::testing {
namespace {

using ::testing::HasSubstr;

// Logical index of each local element of [begin, end); -1: padding.
std::vector<int64_t> Places(const std::vector<LogicalRun>& runs, int64_t begin, int64_t end) {
  std::vector<int64_t> places(static_cast<size_t>(end - begin), -1);
  for (const LogicalRun& run : runs) {
    for (int64_t i = 0; i < run.length; ++i) {
      const int64_t at = run.local + i - begin;
      if (at >= 0 && at < end - begin) places[static_cast<size_t>(at)] = run.logical + i;
    }
  }
  return places;
}

TEST(Portion, RunsAreThoseOfTheSpecCutToTheRange) {
  Random random(1);
  int64_t padded = 0;
  for (int round = 0; round < 500; ++round) {
    std::vector<int64_t> shape;
    for (int64_t dims = Draw(random, 1, 3); dims > 0; --dims) shape.push_back(Draw(random, 1, 9));
    for (const ParameterSpec& spec : RandomSplit(random, "w", shape)) {
      const int64_t size = spec.LocalElements();
      const int64_t begin = Draw(random, 0, size), end = Draw(random, begin, size);
      const std::vector<LogicalRun> runs = RunsOf(shape, PortionOf(spec, begin, end));
      const std::vector<int64_t> expected = Places(LogicalRuns(spec), begin, end);
      EXPECT_EQ(Places(runs, 0, end - begin), expected);
      for (size_t i = 1; i < runs.size(); ++i) {
        EXPECT_GE(runs[i].local, runs[i - 1].local + runs[i - 1].length);
        EXPECT_GT(runs[i].logical, runs[i - 1].logical);
      }
      padded += std::count(expected.begin(), expected.end(), -1);
    }
  }
  EXPECT_GT(padded, 100) << "no padding was drawn";
}

TEST(Portion, OfAScalarAndOfNothing) {
  EXPECT_EQ(WholeOf({}).elements(), 1);
  EXPECT_EQ(RunsOf({}, WholeOf({})).size(), 1u);
  EXPECT_TRUE(RunsOf({4}, PortionOf(WholeSpec("w", {4}, {}, true), 2, 2)).empty());
  EXPECT_TRUE(RunsOf({0, 3}, WholeOf({0, 3})).empty());
  // 4 parts of 3 rows: the last one is padding alone.
  EXPECT_TRUE(RunsOf({3, 2}, PortionOf(ShardedSpec("w", {3, 2}, 0, 4, 3, {}, true), 0, 2)).empty());
}

LogicalTensor Tensor(std::vector<std::pair<int64_t, int64_t>> ranges) {
  LogicalTensor tensor;
  tensor.shape = {4, 5};
  for (const auto& [begin, end] : ranges) {
    Slice slice;
    slice.portion = WholeOf(tensor.shape);
    slice.portion.begin = begin;
    slice.portion.end = end;
    tensor.slices.push_back(slice);
  }
  return tensor;
}

TEST(Incomplete, NamesTheFirstElementsThatAreMissingOrTwice) {
  EXPECT_EQ(Incomplete("w", Tensor({{7, 20}, {0, 7}})), "");
  EXPECT_EQ(Incomplete("w", Tensor({{0, 7}, {9, 20}})), "w [4, 5]: elements 7 to 8 are in no slice");
  EXPECT_EQ(Incomplete("w", Tensor({{0, 19}})), "w [4, 5]: elements 19 to 19 are in no slice");
  EXPECT_EQ(Incomplete("w", Tensor({})), "w [4, 5]: elements 0 to 19 are in no slice");
  EXPECT_EQ(Incomplete("w", Tensor({{0, 12}, {10, 20}})), "w [4, 5]: elements 10 to 11 are in two slices");
  EXPECT_EQ(Incomplete("w", Tensor({{0, 20}, {3, 4}})), "w [4, 5]: elements 3 to 3 are in two slices");
}

TEST(Incomplete, SeesEveryGapAndDoubleOfRandomSplits) {
  Random random(2);
  for (int round = 0; round < 100; ++round) {
    const std::vector<int64_t> shape = {Draw(random, 1, 7), Draw(random, 2, 7)};
    LogicalTensor tensor;
    tensor.shape = shape;
    for (const ParameterSpec& spec : RandomSplit(random, "w", shape)) {
      Slice slice;
      slice.portion = PortionOf(spec, 0, spec.LocalElements());
      if (!RunsOf(shape, slice.portion).empty()) tensor.slices.push_back(slice);
    }
    EXPECT_EQ(Incomplete("w", tensor), "");
    LogicalTensor doubled = tensor, holed = tensor;
    const auto at = static_cast<size_t>(Draw(random, 0, static_cast<int64_t>(tensor.slices.size()) - 1));
    doubled.slices.push_back(doubled.slices[at]);
    EXPECT_THAT(Incomplete("w", doubled), HasSubstr("in two slices"));
    holed.slices.erase(holed.slices.begin() + static_cast<int64_t>(at));
    EXPECT_THAT(Incomplete("w", holed), HasSubstr("in no slice"));
  }
}

}  // namespace
}  // namespace orthant::testing
