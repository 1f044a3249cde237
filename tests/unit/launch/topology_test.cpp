#include "orthant/launch/topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "unit/launch/recorded.h"

namespace orthant::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Bound(const Topology& topology, int ranks) {
  std::vector<std::string> text;
  for (const Cores& cores : BindToCores(topology, ranks)) text.push_back(FormatCores(cores));
  return text;
}

// Two NUMA nodes of four cores, devices on the nodes that are named.
Topology TwoNodes(const std::vector<int>& devices) {
  Topology topology;
  topology.nodes = {{0, 1, 2, 3}, {4, 5, 6, 7}};
  for (const int node : devices) topology.devices.push_back({"GPU", node});
  return topology;
}

TEST(BindToCores, SharesCoresOutInOrder) {
  EXPECT_THAT(Bound(TwoNodes({}), 1), ElementsAre("0-7"));
  EXPECT_THAT(Bound(TwoNodes({}), 2), ElementsAre("0-3", "4-7"));
  EXPECT_THAT(Bound(TwoNodes({}), 4), ElementsAre("0-1", "2-3", "4-5", "6-7"));
  EXPECT_THAT(Bound(TwoNodes({}), 3), ElementsAre("0-1", "2-3", "4-5"));
  EXPECT_THAT(Bound(TwoNodes({}), 8), ElementsAre("0", "1", "2", "3", "4", "5", "6", "7"));
  EXPECT_THAT(Bound(TwoNodes({}), 9), IsEmpty());
}

TEST(BindToCores, StaysNearTheDevice) {
  EXPECT_THAT(Bound(TwoNodes({1, 1, 0, 0}), 4), ElementsAre("4-5", "6-7", "0-1", "2-3"));
  EXPECT_THAT(Bound(TwoNodes({1, 0}), 2), ElementsAre("4-7", "0-3"));
  EXPECT_THAT(Bound(TwoNodes({1, 0}), 1), ElementsAre("4-7")) << "the first device's";
  EXPECT_THAT(Bound(TwoNodes({1, 0}), 4), ElementsAre("4-5", "0-1", "6-7", "2-3")) << "two ranks a device";
  EXPECT_THAT(Bound(TwoNodes({1, 1}), 2), ElementsAre("4-5", "6-7")) << "the other node stays free";
  EXPECT_THAT(Bound(TwoNodes({1}), 5), IsEmpty()) << "five ranks on a node of four cores";
  EXPECT_THAT(Bound(TwoNodes({-1, -1}), 2), ElementsAre("0-3", "4-7")) << "unknown places count for nothing";
}

TEST(BindToCores, TakesTheClustersList) {
  const std::vector<Cores> polaris = {*ParseCores("24-31"), *ParseCores("16-23"), *ParseCores("8-15"),
                                      *ParseCores("0-7")};
  std::vector<std::string> text;
  for (const Cores& cores : BindToCores(polaris, 8)) text.push_back(FormatCores(cores));
  EXPECT_THAT(text, ElementsAre("24-27", "16-19", "8-11", "0-3", "28-31", "20-23", "12-15", "4-7"));
}

TEST(Cores, AreReadAndWritten) {
  EXPECT_EQ(FormatCores(*ParseCores("0-3,8,10-11")), "0-3,8,10-11");
  EXPECT_EQ(FormatCores(*ParseCores("3,1,2,2")), "1-3");
  for (const char* text : {"", "a", "3-1", "1-", "-1", "1,,2", "0-99999999"})
    EXPECT_FALSE(ParseCores(text).ok()) << text;
}

TEST(ReadTopology, CountsCoresNotThreads) {
  Recorded machine;
  machine.AddCores(4, 8, 2);
  machine.AddGpu("0000:07:00.0", 3);
  machine.AddGpu("0000:46:00.0", 2);
  machine.AddGpu("0000:85:00.0", 1);
  machine.AddGpu("0000:c7:00.0", 0);
  const Topology topology = ReadTopology(machine.See());
  EXPECT_EQ(topology.cores(), 32);
  EXPECT_EQ(topology.nodes.size(), 4u);
  EXPECT_EQ(topology.devices.size(), 4u);
  EXPECT_THAT(Bound(topology, 4), ElementsAre("24-31", "16-23", "8-15", "0-7"));
}

TEST(ReadTopology, KeepsToTheAllowedCores) {
  Recorded machine;
  machine.AddCores(2, 4);
  machine.files["/proc/self/status"] = "Cpus_allowed_list:\t2,5-6\n";
  EXPECT_THAT(ReadTopology(machine.See()).nodes, ElementsAre(Cores{2}, Cores{5, 6}));
  Recorded plain;  // no NUMA nodes in /sys
  plain.files["/proc/self/status"] = "Cpus_allowed_list:\t0-1\n";
  EXPECT_THAT(ReadTopology(plain.See()).nodes, ElementsAre(Cores{0, 1}));
}

TEST(ReadTopology, OfThisMachine) {
  const Topology topology = ReadTopology(RealSurroundings());
  EXPECT_GE(topology.cores(), 1);
  EXPECT_THAT(Bound(topology, 1).size(), 1u);
}

}  // namespace
}  // namespace orthant::testing
