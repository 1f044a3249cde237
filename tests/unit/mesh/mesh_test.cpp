#include "orthant/mesh/mesh.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace orthant {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<AxisOrder> AllOrders() {
  AxisOrder order = kAxes;
  std::vector<AxisOrder> orders;
  do {
    orders.push_back(order);
  } while (std::next_permutation(order.begin(), order.end()));
  return orders;
}

std::vector<Degrees> SomeShapes() {
  return {{1, 1, 1, 1}, {4, 1, 1, 1}, {1, 3, 1, 1}, {1, 1, 5, 1}, {1, 1, 1, 2},
          {2, 2, 2, 2}, {3, 2, 1, 4}, {1, 4, 3, 2}, {5, 1, 2, 3}, {2, 3, 4, 1}};
}

std::vector<Axes> SomeAxisSets() {
  return {{},
          {Axis::kData},
          {Axis::kTensor},
          {Axis::kPipeline},
          {Axis::kSequence},
          {Axis::kData, Axis::kSequence},
          {Axis::kPipeline, Axis::kTensor},
          {Axis::kData, Axis::kTensor, Axis::kPipeline, Axis::kSequence}};
}

TEST(Mesh, RanksAndCoordinatesAreABijectionOnEveryShapeAndOrder) {
  for (const AxisOrder& order : AllOrders()) {
    for (const Degrees& degrees : SomeShapes()) {
      const Mesh mesh(degrees, order);
      ASSERT_EQ(mesh.world(), degrees.world());
      for (int64_t rank = 0; rank < mesh.world(); ++rank) {
        const Coordinate at = mesh.CoordinateOf(rank);
        for (Axis axis : kAxes) {
          ASSERT_GE(at[axis], 0);
          ASSERT_LT(at[axis], degrees[axis]);
        }
        ASSERT_EQ(mesh.RankAt(at), rank) << ToString(degrees);
      }
    }
  }
}

TEST(Mesh, DefaultOrderPutsTensorInnermostAndPipelineOutermost) {
  const Mesh mesh({.data = 2, .tensor = 2, .pipeline = 2, .sequence = 2});
  EXPECT_EQ(mesh.RankAt({.tensor = 1}), 1);
  EXPECT_EQ(mesh.RankAt({.sequence = 1}), 2);
  EXPECT_EQ(mesh.RankAt({.data = 1}), 4);
  EXPECT_EQ(mesh.RankAt({.pipeline = 1}), 8);
}

TEST(Mesh, GroupsPartitionTheWorldAndAscend) {
  for (const AxisOrder& order : AllOrders()) {
    for (const Degrees& degrees : SomeShapes()) {
      const Mesh mesh(degrees, order);
      for (const Axes& axes : SomeAxisSets()) {
        std::set<std::vector<int>> groups;
        for (int64_t rank = 0; rank < mesh.world(); ++rank) {
          const Group group = mesh.GroupOf(rank, axes);
          const std::vector<int> ranks = group.ranks();
          ASSERT_TRUE(std::is_sorted(ranks.begin(), ranks.end()));
          ASSERT_EQ(group.rank(group.self()), rank);
          const Coordinate at = mesh.CoordinateOf(rank);
          for (int member : ranks) {
            const Coordinate other = mesh.CoordinateOf(member);
            for (Axis axis : kAxes) ASSERT_TRUE(axes.Has(axis) || other[axis] == at[axis]);
          }
          groups.insert(ranks);
        }
        // Distinct groups share no rank and cover every rank exactly when their sizes add up to the world.
        std::set<int> covered;
        size_t members = 0;
        for (const std::vector<int>& group : groups) {
          covered.insert(group.begin(), group.end());
          members += group.size();
        }
        ASSERT_EQ(members, static_cast<size_t>(mesh.world()));
        ASSERT_EQ(covered.size(), members);
      }
    }
  }
}

TEST(Mesh, GroupsOfTwoAxesAreOrderedByRank) {
  const Mesh mesh({.data = 2, .tensor = 2, .pipeline = 2, .sequence = 2});
  EXPECT_THAT(mesh.GroupOf(3, {Axis::kData, Axis::kSequence}).ranks(), ElementsAre(1, 3, 5, 7));
  EXPECT_EQ(mesh.GroupOf(3, {Axis::kData, Axis::kSequence}).self(), 1);
  EXPECT_THAT(mesh.GroupOf(3, {Axis::kPipeline, Axis::kTensor}).ranks(), ElementsAre(2, 3, 10, 11));
  EXPECT_THAT(mesh.GroupOf(3, {}).ranks(), ElementsAre(3));
}

TEST(Mesh, EmbeddingPairIsTheFirstAndLastStageAtTheSamePlace) {
  for (const Degrees& degrees : SomeShapes()) {
    const Mesh mesh(degrees);
    for (int64_t rank = 0; rank < mesh.world(); ++rank) {
      const std::vector<int> pair = mesh.EmbeddingPair(rank);
      ASSERT_EQ(pair.size(), degrees.pipeline == 1 ? 1u : 2u);
      Coordinate at = mesh.CoordinateOf(rank);
      const bool is_end = at.pipeline == 0 || at.pipeline == degrees.pipeline - 1;
      EXPECT_EQ(mesh.InEmbeddingPair(rank), is_end);
      EXPECT_EQ(std::count(pair.begin(), pair.end(), rank), is_end ? 1 : 0);
      at.pipeline = 0;
      EXPECT_EQ(pair.front(), mesh.RankAt(at));
      at.pipeline = degrees.pipeline - 1;
      EXPECT_EQ(pair.back(), mesh.RankAt(at));
    }
  }
}

TEST(Mesh, MillionRanksAnswerWithoutBeingListed) {
  const Mesh mesh({.data = 128, .tensor = 8, .pipeline = 64, .sequence = 16});
  ASSERT_EQ(mesh.world(), 1048576);
  const Group group = mesh.GroupOf(777777, {Axis::kData, Axis::kSequence});
  EXPECT_EQ(group.size(), 2048);
  EXPECT_EQ(group.rank(group.self()), 777777);
  EXPECT_EQ(mesh.RankAt(mesh.CoordinateOf(1048575)), 1048575);
}

TEST(Mesh, DescribesARank) {
  const Mesh mesh({.data = 2, .tensor = 2, .pipeline = 2, .sequence = 2});
  EXPECT_EQ(mesh.Describe(12), "D1-T0-P1-S0 rank 12");
  EXPECT_EQ(ToString(mesh.degrees()), "data=2 tensor=2 pipeline=2 sequence=2");
}

TEST(Mesh, MapPutsHostsInRows) {
  const Mesh mesh({.data = 2, .tensor = 2, .pipeline = 2, .sequence = 1});
  EXPECT_EQ(mesh.Map(4),
            "8 ranks: pipeline=2 > data=2 > sequence=1 > tensor=2 (outermost first)\n"
            "host 0 | 0 P0 D0 T0 | 1 P0 D0 T1 | 2 P0 D1 T0 | 3 P0 D1 T1\n"
            "host 1 | 4 P1 D0 T0 | 5 P1 D0 T1 | 6 P1 D1 T0 | 7 P1 D1 T1\n");
  EXPECT_EQ(mesh.Map(0, 4),
            "8 ranks: pipeline=2 > data=2 > sequence=1 > tensor=2 (outermost first)\n"
            "0 P0 D0 T0 | 1 P0 D0 T1\n"
            "2 P0 D1 T0 | 3 P0 D1 T1\n"
            "... and 4 more ranks\n");
  EXPECT_EQ(Mesh(Degrees{}).Map(1),
            "1 rank: pipeline=1 > data=1 > sequence=1 > tensor=1 (outermost first)\nhost 0 | 0\n");
}

TEST(Mesh, MapOfAMillionRanksIsElided) {
  const Mesh mesh({.data = 1000, .tensor = 8, .pipeline = 125, .sequence = 1});
  const std::string map = mesh.Map(8, 64);
  EXPECT_LT(map.size(), 4000u);
  EXPECT_THAT(map, HasSubstr("... and 999936 more ranks, on 125000 hosts in all\n"));
}

TEST(Mesh, RefusesWhatIsOutside) {
  const Mesh mesh({.data = 2, .tensor = 3});
  EXPECT_THROW(mesh.CoordinateOf(6), std::out_of_range);
  EXPECT_THROW(mesh.CoordinateOf(-1), std::out_of_range);
  EXPECT_THROW(mesh.RankAt({.tensor = 3}), std::out_of_range);
  EXPECT_THROW(mesh.GroupOf(0, {Axis::kData}).rank(2), std::out_of_range);
  EXPECT_THROW(Mesh({.data = 0}), std::invalid_argument);
  EXPECT_THROW(Mesh(Degrees{}, {Axis::kData, Axis::kData, Axis::kTensor, Axis::kPipeline}),
               std::invalid_argument);
}

TEST(Axis, NamesRoundTrip) {
  for (Axis axis : kAxes) EXPECT_EQ(AxisNamed(AxisName(axis)), axis);
  EXPECT_EQ(AxisNamed("dim"), std::nullopt);
  EXPECT_EQ(AxisLetter(Axis::kPipeline), 'P');
}

}  // namespace
}  // namespace orthant
