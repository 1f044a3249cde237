#include "orthant/checkpoint/difference.h"

#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "orthant/core/status.h"
#include "unit/checkpoint/written_checkpoint.h"

namespace orthant::testing {
namespace {

using ::testing::HasSubstr;

CheckpointDifference Diff(const std::string& a, const std::string& b, DiffOptions options = {}) {
  options.window_bytes = 24;  // a few elements: windows begin and end within rows and slices
  absl::StatusOr<CheckpointDifference> difference = DiffCheckpoints(a, b, options);
  EXPECT_TRUE(difference.ok()) << difference.status();
  return difference.ok() ? *std::move(difference) : CheckpointDifference{};
}

class DifferenceTest : public ::testing::Test {
 protected:
  DifferenceTest() : items_(DrawParameters(TinyModel(), at::kFloat, 1)) {}
  void Write(const std::string& folder, const std::vector<Values>& items, const Cut& cut) {
    WriteCheckpoint(folder, 5, items, cut, RunOf(TinyModel(), "parameters"));
  }
  std::vector<Values> items_;
  const std::string a_ = TempFolder("diff_a"), b_ = TempFolder("diff_b");
};

TEST_F(DifferenceTest, WhateverCutTheFilesValuesAreTheSame) {
  Write(a_, items_, {});
  for (const Cut cut : {Cut{0, 2, 1, 2}, Cut{0, 3, 2, 3}, Cut{1, 4, 3, 2}, Cut{-1, 1, 5, 1}}) {
    Write(b_, items_, cut);
    const CheckpointDifference d = Diff(a_, b_);
    EXPECT_TRUE(d.identical()) << d.ToText(0);
    EXPECT_EQ(d.compared, static_cast<int64_t>(items_.size()));
    EXPECT_THAT(d.ToText(20), HasSubstr("identical to the bit"));
  }
}

TEST_F(DifferenceTest, TellsTheWorstFirstAndWhere) {
  Write(a_, items_, {0, 2, 2, 2});
  std::vector<Values> other = items_;
  for (Values& item : other) item.values = item.values.clone();
  const auto change = [&](const std::string& name, int64_t at, float by) {
    for (Values& item : other) {
      if (item.name == name) item.values.view({-1})[at] += by;
    }
  };
  change("wte.weight", 17, 0.5F);
  change("h.2.attn.c_attn.weight", 3, 0.001F);
  change("h.2.attn.c_attn.weight", 100, -0.004F);
  Write(b_, other, {1, 2, 3, 1});
  const CheckpointDifference d = Diff(a_, b_);
  ASSERT_EQ(d.differences.size(), 2u);
  EXPECT_EQ(d.differences[0].tensor, "wte.weight");
  EXPECT_EQ(d.differences[0].at, 17);
  EXPECT_EQ(d.differences[0].differing, 1);
  EXPECT_NEAR(d.differences[0].max_abs, 0.5, 1e-6);
  EXPECT_EQ(d.differences[1].tensor, "h.2.attn.c_attn.weight");
  EXPECT_EQ(d.differences[1].differing, 2);
  EXPECT_EQ(d.differences[1].at, 100);
  EXPECT_NEAR(d.differences[1].max_abs, 0.004, 1e-6);
  // The magnitude is that of the whole tensor, windows that are equal included.
  double largest = 0.0;
  for (const Values& item : items_) {
    if (item.name == "wte.weight") largest = item.values.abs().max().item<double>();
  }
  EXPECT_NEAR(d.differences[0].magnitude, largest, 0.5);
  EXPECT_GE(d.differences[0].magnitude, largest - 1e-6);
  EXPECT_THAT(d.ToText(1), HasSubstr("and 1 more"));
  EXPECT_EQ(d.ToJson(1)["differences"].size(), 1u);
  EXPECT_EQ(d.ToJson(0)["differences"][0]["tensor"], "wte.weight");
}

TEST_F(DifferenceTest, NotFiniteIsWorseThanAnyNumber) {
  Write(a_, items_, {});
  std::vector<Values> other = items_;
  for (Values& item : other) item.values = item.values.clone();
  other[0].values.view({-1})[0] += 100.0F;
  other[1].values.view({-1})[1] = std::numeric_limits<float>::quiet_NaN();
  Write(b_, other, {});
  const CheckpointDifference d = Diff(a_, b_);
  ASSERT_EQ(d.differences.size(), 2u);
  EXPECT_EQ(d.differences[0].tensor, other[1].name);
  EXPECT_EQ(d.differences[0].not_finite, 1);
  EXPECT_EQ(d.differences[0].max_abs, 0.0);
  EXPECT_TRUE(Diff(b_, b_).identical());  // a NaN with the same bits is the same
}

TEST_F(DifferenceTest, MinusZeroDiffersInItsBits) {
  std::vector<Values> zeros = {{"x", StateKind::kParameter, at::zeros({4})}};
  std::vector<Values> minus = {{"x", StateKind::kParameter, at::zeros({4}).neg()}};
  Write(a_, zeros, {});
  Write(b_, minus, {});
  const CheckpointDifference d = Diff(a_, b_);
  ASSERT_EQ(d.differences.size(), 1u);
  EXPECT_EQ(d.differences[0].differing, 4);
  EXPECT_EQ(d.differences[0].max_abs, 0.0);
  EXPECT_EQ(d.differences[0].max_rel(), 0.0);
}

TEST_F(DifferenceTest, OtherDtypesAreComparedByValue) {
  std::vector<Values> wide, narrow;
  for (const Values& item : items_) {
    narrow.push_back({item.name, item.kind, item.values.to(at::kBFloat16)});
    wide.push_back({item.name, item.kind, narrow.back().values.to(at::kFloat)});
  }
  Write(a_, wide, {});
  Write(b_, narrow, {0, 2, 1, 1});
  const CheckpointDifference same = Diff(a_, b_);
  EXPECT_FALSE(same.identical());
  EXPECT_TRUE(same.differences.empty());
  EXPECT_EQ(same.other_dtype, static_cast<int64_t>(items_.size()));
  EXPECT_THAT(same.ToText(20), HasSubstr("the same values"));
  Write(a_, items_, {});
  const CheckpointDifference rounded = Diff(a_, b_);
  ASSERT_FALSE(rounded.differences.empty());
  EXPECT_LE(rounded.differences[0].max_rel(), 1.0 / 256);
}

TEST_F(DifferenceTest, TellsTensorsWithoutCounterpartAndKinds) {
  std::vector<Values> more = items_;
  more.push_back({"wte.weight", StateKind::kFirstMoment, at::ones({11, 8})});
  more.push_back({"extra", StateKind::kParameter, at::ones({2})});
  Write(a_, more, {});
  std::vector<Values> other = items_;
  other[0].values = at::ones({12, 8});
  Write(b_, other, {});
  const CheckpointDifference d = Diff(a_, b_);
  ASSERT_EQ(d.unmatched.size(), 3u);
  EXPECT_FALSE(d.identical());
  EXPECT_THAT(d.ToText(20), HasSubstr("other shape: wte.weight (parameter) [11, 8] and [12, 8]"));
  EXPECT_THAT(d.ToText(20), HasSubstr("only in " + a_ + ": extra (parameter) [2]"));
  DiffOptions moments;
  moments.kinds = {StateKind::kFirstMoment};
  EXPECT_EQ(Diff(a_, b_, moments).unmatched.size(), 1u);
  moments.kinds = {StateKind::kSecondMoment};
  const auto none = DiffCheckpoints(a_, b_, moments);
  EXPECT_EQ(ExitCodeOf(none.status()), ExitCode::kData);
  EXPECT_THAT(none.status().message(), HasSubstr("second_moment"));
}

TEST_F(DifferenceTest, DamageIsToldNotCompared) {
  Write(a_, items_, {0, 2, 2, 2});
  Write(b_, items_, {});
  FlipBit(a_ + "/shard_1.bin", 200);
  const auto d = DiffCheckpoints(a_, b_, {});
  EXPECT_EQ(ExitCodeOf(d.status()), ExitCode::kData);
  EXPECT_THAT(d.status().message(), HasSubstr("shard_1.bin"));
}

}  // namespace
}  // namespace orthant::testing
