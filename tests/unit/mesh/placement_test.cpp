#include "orthant/mesh/placement.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <stdexcept>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace orthant::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Crossing& Of(const std::array<Crossing, kAxisCount>& crossings, Axis axis) {
  return crossings[static_cast<size_t>(axis)];
}

// Process i on host i % hosts: as mpirun --map-by node starts them.
std::vector<int> RoundRobin(int processes, int hosts) {
  std::vector<int> host(static_cast<size_t>(processes));
  for (int i = 0; i < processes; ++i) host[static_cast<size_t>(i)] = i % hosts;
  return host;
}

std::vector<int> InBlocks(const std::vector<int>& counts) {
  std::vector<int> host;
  for (size_t i = 0; i < counts.size(); ++i)
    host.insert(host.end(), static_cast<size_t>(counts[i]), static_cast<int>(i));
  return host;
}

std::vector<int> Identity(size_t n) {
  std::vector<int> order(n);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

// The hosts of the mesh's ranks once placed.
std::vector<int> Placed(const Mesh& mesh, const std::vector<int>& host_of_process) {
  std::vector<int> hosts;
  for (const int process : PlaceByHost(mesh, host_of_process))
    hosts.push_back(host_of_process.at(static_cast<size_t>(process)));
  return hosts;
}

TEST(Crossings, CountsGroupsAndLinksOfEachAxis) {
  const Mesh mesh({.data = 2, .tensor = 2, .pipeline = 2, .sequence = 2});
  const auto none = FindCrossings(mesh, std::vector<int>(16, 7));
  for (const Axis axis : kAxes) {
    EXPECT_EQ(Of(none, axis).groups, 8);
    EXPECT_EQ(Of(none, axis).crossing, 0);
    EXPECT_EQ(Of(none, axis).example, -1);
  }
  // Four hosts of four: pipeline > data > sequence > tensor.
  const auto blocks = FindCrossings(mesh, InBlocks({4, 4, 4, 4}));
  EXPECT_EQ(Of(blocks, Axis::kTensor).crossing, 0);
  EXPECT_EQ(Of(blocks, Axis::kSequence).crossing, 0);
  EXPECT_EQ(Of(blocks, Axis::kData).crossing, 8);
  EXPECT_EQ(Of(blocks, Axis::kPipeline).links, 8);
  const auto robin = FindCrossings(mesh, RoundRobin(16, 4));
  EXPECT_EQ(Of(robin, Axis::kTensor).crossing, 8);
  EXPECT_EQ(Of(robin, Axis::kTensor).example, 0);
  EXPECT_EQ(Of(robin, Axis::kSequence).crossing, 8);
  EXPECT_EQ(Of(robin, Axis::kData).crossing, 0);
  EXPECT_THROW(FindCrossings(mesh, {0, 1}), std::invalid_argument);
}

TEST(Crossings, LongGroupsCountEachLink) {
  const Mesh mesh({.pipeline = 6});
  const auto found = FindCrossings(mesh, {0, 0, 1, 1, 2, 2});
  EXPECT_EQ(Of(found, Axis::kPipeline).groups, 1);
  EXPECT_EQ(Of(found, Axis::kPipeline).links, 2);
  EXPECT_EQ(Of(found, Axis::kTensor).groups, 0) << "an axis of one rank has no groups";
}

TEST(Placement, InBlocksStaysAsLaunched) {
  for (const AxisOrder& order :
       {kDefaultOrder, AxisOrder{Axis::kData, Axis::kPipeline, Axis::kSequence, Axis::kTensor}}) {
    const Mesh mesh({.data = 2, .tensor = 2, .pipeline = 2, .sequence = 2}, order);
    EXPECT_EQ(PlaceByHost(mesh, InBlocks({4, 4, 4, 4})), Identity(16));
    EXPECT_EQ(PlaceByHost(mesh, InBlocks({8, 8})), Identity(16));
  }
  const Mesh odd({.data = 2, .tensor = 4}, {Axis::kTensor, Axis::kData, Axis::kSequence, Axis::kPipeline});
  EXPECT_EQ(PlaceByHost(odd, std::vector<int>(8, 3)), Identity(8)) << "one host: whatever the order is";
}

TEST(Placement, RoundRobinIsUndone) {
  const Mesh mesh({.data = 2, .tensor = 2, .pipeline = 2, .sequence = 2});
  const std::vector<int> host = RoundRobin(16, 4);
  EXPECT_THAT(PlaceByHost(mesh, host), ElementsAre(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  const auto found = FindCrossings(mesh, Placed(mesh, host));
  EXPECT_EQ(Of(found, Axis::kTensor).crossing, 0);
  EXPECT_EQ(Of(found, Axis::kSequence).crossing, 0);
}

TEST(Placement, TensorIsKeptTogetherWhateverTheOrder) {
  const Mesh mesh({.data = 4, .tensor = 4}, {Axis::kTensor, Axis::kPipeline, Axis::kSequence, Axis::kData});
  const std::vector<int> host = InBlocks({4, 4, 4, 4});
  EXPECT_EQ(Of(FindCrossings(mesh, host), Axis::kTensor).crossing, 4);
  EXPECT_EQ(Of(FindCrossings(mesh, Placed(mesh, host)), Axis::kTensor).crossing, 0);
}

TEST(Placement, PipelineNeighboursAreNextToEachOther) {
  const Mesh mesh({.pipeline = 8});
  const std::vector<int> host = RoundRobin(8, 2);
  EXPECT_EQ(Of(FindCrossings(mesh, host), Axis::kPipeline).links, 7);
  EXPECT_EQ(Of(FindCrossings(mesh, Placed(mesh, host)), Axis::kPipeline).links, 1);
}

TEST(Placement, UnevenHosts) {
  // 3 + 5: three tensor groups of two fit, one must cross.
  const Mesh mesh({.data = 4, .tensor = 2});
  const auto found = FindCrossings(mesh, Placed(mesh, InBlocks({3, 5})));
  EXPECT_EQ(Of(found, Axis::kTensor).crossing, 1);
  // 6 + 10 with tensor 4: three of four groups fit; and rank 0 is process 0 though its host is not the
  // larger.
  const Mesh four({.data = 4, .tensor = 4});
  EXPECT_EQ(Of(FindCrossings(four, Placed(four, InBlocks({6, 10}))), Axis::kTensor).crossing, 1);
  const std::vector<int> host = InBlocks({1, 8, 8, 7});
  const Mesh eight({.data = 3, .tensor = 8});
  const std::vector<int> order = PlaceByHost(eight, host);
  EXPECT_EQ(order[0], 0);
  EXPECT_EQ(Of(FindCrossings(eight, Placed(eight, host)), Axis::kTensor).crossing, 1);
}

// Over many meshes and launches: a permutation, process 0 first, and never worse than as launched.
TEST(Placement, AlwaysAPermutationThatGainsOrStays) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    const auto degree = [&] { return 1 + static_cast<int>(random() % 4); };
    const Degrees degrees{.data = degree(), .tensor = degree(), .pipeline = degree(), .sequence = degree()};
    AxisOrder order = kDefaultOrder;
    std::shuffle(order.begin(), order.end(), random);
    const Mesh mesh(degrees, order);
    std::vector<int> host(static_cast<size_t>(mesh.world()));
    const auto hosts = 1 + random() % 5;
    for (int& one : host) one = static_cast<int>(random() % hosts);
    const std::vector<int> placed = PlaceByHost(mesh, host);
    std::vector<int> sorted = placed;
    std::sort(sorted.begin(), sorted.end());
    ASSERT_EQ(sorted, Identity(host.size()));
    ASSERT_EQ(placed[0], 0);
    const auto before = FindCrossings(mesh, host), after = FindCrossings(mesh, Placed(mesh, host));
    ASSERT_LE(Of(after, Axis::kTensor).links, Of(before, Axis::kTensor).links) << ToString(degrees);
    // As many tensor groups as fit are whole.
    std::vector<int64_t> count(hosts, 0);
    for (const int one : host) ++count[static_cast<size_t>(one)];
    int64_t fit = 0;
    for (const int64_t one : count) fit += one / degrees.tensor;
    if (degrees.tensor > 1 && placed != Identity(host.size())) {
      ASSERT_EQ(Of(after, Axis::kTensor).groups - Of(after, Axis::kTensor).crossing, fit)
          << ToString(degrees);
    }
  }
}

std::vector<std::string> Named(const std::vector<int>& hosts) {
  std::vector<std::string> names;
  for (const int host : hosts) names.push_back("h" + std::to_string(host + 1));
  return names;
}

TEST(PlacementNotes, NothingWhereNothingCrosses) {
  const Mesh mesh({.data = 2, .tensor = 2, .pipeline = 2, .sequence = 2});
  EXPECT_THAT(PlacementNotes(mesh, Named(InBlocks({4, 4, 4, 4})), true), IsEmpty());
  EXPECT_THAT(PlacementNotes(mesh, Named(std::vector<int>(16, 0)), false), IsEmpty());
}

TEST(PlacementNotes, PlacementOrOrderAvoidsIt) {
  const Mesh mesh({.data = 4, .tensor = 2});
  const auto notes = PlacementNotes(mesh, Named(RoundRobin(8, 2)), false);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_EQ(
      notes[0],
      "4 of 4 tensor groups cross hosts (rank 0 on h1, rank 1 on h2): every layer waits for the network; "
      "parallel.placement=by_host avoids it");
}

TEST(PlacementNotes, DegreesThatFit) {
  const Mesh mesh({.tensor = 4, .pipeline = 2, .sequence = 2});
  const auto notes = PlacementNotes(mesh, Named(InBlocks({2, 2, 2, 2, 2, 2, 2, 2})), true);
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_THAT(notes[0], HasSubstr("4 of 4 tensor groups cross hosts"));
  EXPECT_THAT(notes[0],
              HasSubstr("hosts of 2 ranks hold no more than parallel.tensor=2, with parallel.pipeline=4 or "
                        "parallel.data=2; or put 4 ranks on each host"));
  EXPECT_THAT(notes[1], HasSubstr("sequence groups cross hosts"));
  EXPECT_THAT(notes[1], HasSubstr("parallel.sequence=1"));
  const auto uneven = PlacementNotes(Mesh({.data = 4, .tensor = 2}), Named(InBlocks({3, 5})), true);
  ASSERT_EQ(uneven.size(), 1u);
  EXPECT_THAT(uneven[0], HasSubstr("1 of 4 tensor groups cross hosts"));
  EXPECT_THAT(uneven[0], HasSubstr("hosts of 3 to 5 ranks hold no more than parallel.tensor=1"));
}

TEST(HostMap, ARowForEachHost) {
  const Mesh mesh({.data = 2, .tensor = 2});
  EXPECT_EQ(HostMap(mesh, {"a", "a", "node2", "node2"}),
            "4 ranks: pipeline=1 > data=2 > sequence=1 > tensor=2 (outermost first)\n"
            "a     | 0 D0 T0 | 1 D0 T1\n"
            "node2 | 2 D1 T0 | 3 D1 T1\n");
  EXPECT_EQ(HostMap(mesh, {"a", "b", "a", "b"}),
            "4 ranks: pipeline=1 > data=2 > sequence=1 > tensor=2 (outermost first)\n"
            "a | 0 D0 T0 | 2 D1 T0\n"
            "b | 1 D0 T1 | 3 D1 T1\n");
  EXPECT_EQ(HostMap(mesh, {"a", "a", "b", "b"}, 3),
            "4 ranks: pipeline=1 > data=2 > sequence=1 > tensor=2 (outermost first)\n"
            "a | 0 D0 T0 | 1 D0 T1\n"
            "b | 2 D1 T0\n"
            "... and 1 more ranks, on 2 hosts in all\n");
}

}  // namespace
}  // namespace orthant::testing
