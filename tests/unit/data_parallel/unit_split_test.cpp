// Which parameters travel together.
#include "orthant/data_parallel/unit_split.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orthant/data_parallel/unit_plan.h"

namespace orthant {
namespace {

ParameterSpec Linear(const std::string& name, std::vector<int64_t> shape) {
  ParameterSpec spec = WholeSpec(name, std::move(shape), {}, true);
  spec.linear = true;
  return spec;
}

// Elements: 8, 3 x 8 x 8 = 192, 64, 8, 256.
std::vector<ParameterSpec> Block() {
  return {WholeSpec("ln", {8}, {}, false), Linear("qkv", {3, 8, 8}), Linear("proj", {8, 8}),
          WholeSpec("bias", {8}, {}, false), Linear("fc", {32, 8})};
}

// "ln qkv | proj[2+3]": units by their parameters; a tile with its first row and number of rows.
std::string Text(const std::vector<std::vector<ParameterSpec>>& units) {
  return absl::StrJoin(units, " | ", [](std::string* out, const std::vector<ParameterSpec>& unit) {
    absl::StrAppend(out, absl::StrJoin(unit, " ", [](std::string* word, const ParameterSpec& spec) {
                      absl::StrAppend(word, spec.name);
                      if (spec.rows >= 0) absl::StrAppend(word, "[", spec.row_begin, "+", spec.rows, "]");
                    }));
  });
}

std::string Split(const UnitSplit& split) {
  return Text(SplitIntoUnits(Block(), split));
}

TEST(SplitIntoUnits, WithoutLimitsIsOneUnit) {
  EXPECT_EQ(Split({}), "ln qkv proj bias fc");
  EXPECT_TRUE(SplitIntoUnits({}, {}).empty());
}

TEST(SplitIntoUnits, ClosesABucketBeforeItGrowsTooLarge) {
  const int64_t qkv_and_ln = 4 * (8 + 192);
  EXPECT_EQ(Split({.bucket_bytes = qkv_and_ln}), "ln qkv | proj bias | fc");
  EXPECT_EQ(Split({.bucket_bytes = qkv_and_ln - 1}), "ln | qkv | proj bias | fc");
  EXPECT_EQ(Split({.bucket_bytes = qkv_and_ln, .element_size = 2}), "ln qkv proj bias | fc");
  EXPECT_EQ(Split({.bucket_bytes = 1}), "ln | qkv | proj | bias | fc") << "no parameter is cut";
}

TEST(SplitIntoUnits, CutsLinearsThatAreWiderThanATile) {
  // 3 rows of 8 elements of 4 bytes: the 24 rows of qkv, 8 of proj and 32 of fc.
  EXPECT_EQ(Split({.tile_bytes = 96}),
            "qkv[0+3] | qkv[3+3] | qkv[6+3] | qkv[9+3] | qkv[12+3] | qkv[15+3] | qkv[18+3] | qkv[21+3] | "
            "proj[0+3] | proj[3+3] | proj[6+2] | "
            "fc[0+3] | fc[3+3] | fc[6+3] | fc[9+3] | fc[12+3] | fc[15+3] | fc[18+3] | fc[21+3] | fc[24+3] | "
            "fc[27+3] | fc[30+2] | ln bias");
  EXPECT_EQ(Split({.tile_bytes = 4 * 192}), "fc[0+24] | fc[24+8] | ln qkv proj bias")
      << "as wide is not wider";
  EXPECT_EQ(Split({.tile_bytes = 4 * 256}), "ln qkv proj bias fc");
}

TEST(SplitIntoUnits, ATileHasARowAtLeast) {
  const auto units = SplitIntoUnits({Linear("wide", {2, 1000})}, {.tile_bytes = 1});
  EXPECT_EQ(Text(units), "wide[0+1] | wide[1+1]");
}

TEST(SplitIntoUnits, NeverCutsWhatIsNoLinear) {
  EXPECT_EQ(
      Text(SplitIntoUnits({WholeSpec("wte", {100, 8}, {}, true)}, {.bucket_bytes = 64, .tile_bytes = 64})),
      "wte");
}

TEST(SplitIntoUnits, BothLimitsHoldTogether) {
  EXPECT_EQ(Split({.bucket_bytes = 4 * 64, .tile_bytes = 4 * 128}),
            "qkv[0+16] | qkv[16+8] | ln | proj | fc[0+16] | fc[16+16] | bias");
}

TEST(SplitIntoUnits, TilesOfAShardAreRowsOfTheShard) {
  ParameterSpec spec = ShardedSpec("fc", {32, 8}, 0, 4, 1, {}, true);  // 8 rows here
  spec.linear = true;
  EXPECT_EQ(Text(SplitIntoUnits({spec}, {.tile_bytes = 4 * 8 * 5})), "fc[0+5] | fc[5+3]");
}

TEST(PlanUnits, NamesAndCountsAsUnitsDo) {
  const std::vector<UnitPlan> one = PlanUnits("block 0", Block(), {});
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].name, "block 0");
  EXPECT_EQ(PlannedElements(one[0].specs, 1), 16 + 192 + 64 + 16 + 256);
  EXPECT_EQ(PlannedElements(one[0].specs, 5), 560) << "544, up to a multiple of 16 x 5";
  const std::vector<UnitPlan> two = PlanUnits("block 0", Block(), {.bucket_bytes = 4 * (8 + 192 + 64 + 8)});
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(two[0].name, "block 0/0");
  EXPECT_EQ(two[1].name, "block 0/1");
}

}  // namespace
}  // namespace orthant
