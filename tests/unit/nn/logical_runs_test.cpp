// LogicalRuns against the definition: each element of the local tensor, by its coordinates.
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "orthant/nn/parameter.h"

namespace orthant {
namespace {

// For each local element of `spec`, the logical element it holds, or -1 for padding.
std::vector<int64_t> ByCoordinates(const ParameterSpec& spec) {
  ParameterSpec untiled = spec;
  untiled.rows = -1;
  const std::vector<int64_t> shape = untiled.LocalShape();
  std::vector<int64_t> source;
  for (int64_t i = 0; i < untiled.LocalElements(); ++i) {
    std::vector<int64_t> at(shape.size());
    for (int64_t d = static_cast<int64_t>(shape.size()) - 1, rest = i; d >= 0; rest /= shape[d--]) {
      at[d] = rest % shape[d];
    }
    bool padding = false;
    if (spec.shard_dim >= 0) {
      padding = at[spec.shard_dim] >= spec.shard_length;
      at[spec.shard_dim] += spec.shard_begin;
    }
    int64_t logical = 0;
    for (size_t d = 0; d < shape.size(); ++d) logical = logical * spec.shape[d] + at[d];
    source.push_back(padding ? -1 : logical);
  }
  if (spec.rows < 0) return source;
  const int64_t width = shape.back();
  return {source.begin() + spec.row_begin * width, source.begin() + (spec.row_begin + spec.rows) * width};
}

void Check(const ParameterSpec& spec) {
  SCOPED_TRACE(absl::StrCat("dim ", spec.shard_dim, " from ", spec.shard_begin, ", ", spec.shard_length,
                            " of ", spec.local_length, ", rows ", spec.row_begin, " + ", spec.rows));
  std::vector<int64_t> source(spec.LocalElements(), -1);
  int64_t local = 0, logical = -1;
  for (const LogicalRun& run : LogicalRuns(spec)) {
    EXPECT_GT(run.length, 0);
    EXPECT_GE(run.local, local) << "ascending, and none twice";
    EXPECT_GT(run.logical, logical);
    ASSERT_LE(run.local + run.length, spec.LocalElements());
    std::iota(source.begin() + run.local, source.begin() + run.local + run.length, run.logical);
    local = run.local + run.length;
    logical = run.logical + run.length - 1;
  }
  EXPECT_EQ(source, ByCoordinates(spec));
}

// `spec`, and every way to take a tile of up to 5 rows of it.
void CheckWithTiles(ParameterSpec spec) {
  Check(spec);
  const int64_t rows = spec.LocalElements() / spec.LocalShape().back();
  for (int64_t together = 1; together <= 5; ++together) {
    for (int64_t begin = 0; begin < rows; begin += together) {
      spec.row_begin = begin;
      spec.rows = std::min(together, rows - begin);
      Check(spec);
    }
    spec.row_begin = 0;
    spec.rows = -1;
  }
}

TEST(LogicalRuns, OfAWholeParameterAreOne) {
  const ParameterSpec spec = WholeSpec("w", {3, 4, 5}, {}, true);
  const std::vector<LogicalRun> runs = LogicalRuns(spec);
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].local, 0);
  EXPECT_EQ(runs[0].logical, 0);
  EXPECT_EQ(runs[0].length, 60);
  CheckWithTiles(spec);
  CheckWithTiles(WholeSpec("b", {7}, {}, false));
}

TEST(LogicalRuns, OfEachDimEvenlyAndPadded) {
  for (int dim = 0; dim < 3; ++dim) {
    for (const int parts : {1, 2, 3, 4, 8}) {  // 6, 9 and 5 indices: even, padded, and some parts all padding
      for (int part = 0; part < parts; ++part) {
        CheckWithTiles(ShardedSpec("w", {6, 9, 5}, dim, parts, part, {}, true));
      }
    }
  }
}

TEST(LogicalRuns, OfTheRowsOfOneShardAreNeighboursButAcrossHeadsTheyAreNot) {
  // [3, H, H], the middle dim on 2 ranks: q, k and v are each cut, so a tile across them has two runs.
  ParameterSpec spec = ShardedSpec("c_attn", {3, 8, 8}, 1, 2, 1, {}, true);
  EXPECT_EQ(LogicalRuns(spec).size(), 3u);
  spec.row_begin = 2;
  spec.rows = 4;  // rows 2 and 3 of q, 0 and 1 of k
  const std::vector<LogicalRun> runs = LogicalRuns(spec);
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].local, 0);
  EXPECT_EQ(runs[0].logical, (4 + 2) * 8);
  EXPECT_EQ(runs[0].length, 16);
  EXPECT_EQ(runs[1].local, 16);
  EXPECT_EQ(runs[1].logical, 64 + 4 * 8);
  EXPECT_EQ(runs[1].length, 16);
}

TEST(LogicalRuns, OfNothingButPaddingAreNone) {
  const ParameterSpec spec = ShardedSpec("wte", {5, 4}, 0, 8, 6, {}, true);
  EXPECT_EQ(spec.shard_length, 0);
  EXPECT_EQ(spec.LocalElements(), 4);
  EXPECT_TRUE(LogicalRuns(spec).empty());
}

TEST(LogicalRuns, OfAllPartsAndTilesCoverEachElementOnce) {
  std::vector<int> seen(4 * 7 * 3);
  for (int part = 0; part < 3; ++part) {
    ParameterSpec spec = ShardedSpec("w", {4, 7, 3}, 1, 3, part, {}, true);
    for (int64_t begin = 0; begin < 12; begin += 5) {
      spec.row_begin = begin;
      spec.rows = std::min<int64_t>(5, 12 - begin);
      for (const LogicalRun& run : LogicalRuns(spec)) {
        for (int64_t i = 0; i < run.length; ++i) ++seen[run.logical + i];
      }
    }
  }
  EXPECT_EQ(seen, std::vector<int>(seen.size(), 1));
}

}  // namespace
}  // namespace orthant
