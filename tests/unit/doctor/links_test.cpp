#include "orthant/doctor/links.h"

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace orthant::doctor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

struct Measured {
  std::vector<Link> links;
  std::vector<double> costs;
};

// Links as PairRounds measures them, each with the cost that `cost` says, times noise of up to `noise`.
Measured Measure(int nodes, const std::function<double(int a, int b)>& cost, double noise = 0) {
  Measured m;
  std::mt19937 random(7);
  std::uniform_real_distribution<double> times(1.0, 1.0 + noise);
  for (const auto& round : PairRounds(nodes)) {
    for (const auto& [a, b] : round) {
      m.links.push_back({.a = a, .b = b});
      m.costs.push_back(cost(a, b) * (noise > 0 ? times(random) : 1.0));
    }
  }
  return m;
}

SlowLinks Find(int nodes, const std::function<double(int a, int b)>& cost, double noise = 0) {
  const Measured m = Measure(nodes, cost, noise);
  return FindSlowLinks(nodes, m.links, m.costs, {.factor = 2, .sigmas = 6});
}

// Every link takes 1, and 100 more for each end that is in `slow`.
std::function<double(int, int)> SlowHosts(std::set<int> slow) {
  return [slow](int a, int b) { return 1.0 + 100.0 * static_cast<double>(slow.count(a) + slow.count(b)); };
}

TEST(PairRounds, EveryPairOnceAndNobodyTwiceInARound) {
  for (int nodes = 0; nodes <= 16; ++nodes) {
    std::set<Pair> all;
    const auto rounds = PairRounds(nodes);
    for (const auto& round : rounds) {
      std::set<int> busy;
      for (const auto& [a, b] : round) {
        EXPECT_LT(a, b);
        EXPECT_TRUE(a >= 0 && b < nodes);
        EXPECT_TRUE(busy.insert(a).second && busy.insert(b).second) << nodes;
        EXPECT_TRUE(all.insert({a, b}).second) << nodes;
      }
    }
    EXPECT_EQ(all.size(), nodes * (nodes - 1) / 2) << nodes;
    EXPECT_LE(static_cast<int>(rounds.size()), nodes) << nodes;
  }
}

TEST(PairRounds, ManyNodesMeetNeighboursAndSomeOthers) {
  for (const int nodes : {17, 64, 1001}) {
    std::map<int, std::set<int>> met;
    const auto rounds = PairRounds(nodes);
    EXPECT_LE(rounds.size(), 13u);
    for (const auto& round : rounds) {
      std::set<int> busy;
      for (const auto& [a, b] : round) {
        EXPECT_TRUE(a < b && busy.insert(a).second && busy.insert(b).second);
        met[a].insert(b);
        met[b].insert(a);
      }
    }
    for (int node = 0; node < nodes; ++node) {
      EXPECT_EQ(met[node].count((node + 1) % nodes), 1u) << nodes << " " << node;
      EXPECT_GE(met[node].size(), 6u) << nodes << " " << node;
    }
    EXPECT_EQ(rounds, PairRounds(nodes)) << "the same on every rank";
  }
}

TEST(SlowLinks, AllEqual) {
  for (const int nodes : {0, 1, 2, 3, 4, 9, 40}) {
    const SlowLinks found = Find(nodes, SlowHosts({}), 0.5);
    EXPECT_THAT(found.nodes, IsEmpty()) << nodes;
    EXPECT_THAT(found.single, IsEmpty()) << nodes;
  }
}

TEST(SlowLinks, OneSlowHost) {
  for (const int nodes : {3, 4, 5, 16, 40}) {
    for (const int slow : {0, 2}) {
      const SlowLinks found = Find(nodes, SlowHosts({slow}), 0.5);
      EXPECT_THAT(found.nodes, ElementsAre(slow)) << nodes;
      EXPECT_THAT(found.single, IsEmpty()) << nodes;
      EXPECT_GE(found.costs.at(0), 101);
      EXPECT_LT(found.typical, 1.6);
    }
  }
}

TEST(SlowLinks, TwoSlowHosts) {
  for (const int nodes : {4, 5, 8, 40}) {
    const SlowLinks found = Find(nodes, SlowHosts({1, 3}), 0.3);
    EXPECT_THAT(found.nodes, UnorderedElementsAre(1, 3)) << nodes;
    EXPECT_THAT(found.single, IsEmpty()) << nodes;
  }
}

TEST(SlowLinks, OneSlowLink) {
  for (const int nodes : {4, 8, 16}) {
    const Measured m = Measure(
        nodes, [](int a, int b) { return a == 1 && b == 3 ? 50.0 : 1.0; }, 0.3);
    const SlowLinks found = FindSlowLinks(nodes, m.links, m.costs, {.factor = 2, .sigmas = 6});
    EXPECT_THAT(found.nodes, IsEmpty()) << nodes;
    ASSERT_EQ(found.single.size(), 1u) << nodes;
    EXPECT_EQ(m.links[found.single[0]].a, 1);
    EXPECT_EQ(m.links[found.single[0]].b, 3);
  }
}

TEST(SlowLinks, ASlowHostAndASlowLinkBesideIt) {
  const Measured m = Measure(
      8, [](int a, int b) { return a == 5 || b == 5 ? 80.0 : (a == 0 && b == 2 ? 40.0 : 1.0); }, 0.2);
  const SlowLinks found = FindSlowLinks(8, m.links, m.costs, {.factor = 2, .sigmas = 6});
  EXPECT_THAT(found.nodes, ElementsAre(5));
  ASSERT_EQ(found.single.size(), 1u);
  EXPECT_EQ(m.links[found.single[0]].b, 2);
}

TEST(SlowLinks, AHostSlowToMostOthersIsBlamed) {
  // Host 2 is quick to host 6 alone, which stands on its switch.
  const SlowLinks found = Find(
      8, [](int a, int b) { return (a == 2) != (b == 2) && a != 6 && b != 6 ? 60.0 : 1.0; }, 0.2);
  EXPECT_THAT(found.nodes, ElementsAre(2));
  EXPECT_THAT(found.single, IsEmpty());
}

TEST(SlowLinks, TwoSwitchesBlameNobody) {
  // Quick within {0, 1} and within {2, 3}: whose fault the links between them are, nobody can say.
  const SlowLinks found = Find(4, [](int a, int b) { return a / 2 == b / 2 ? 1.0 : 50.0; });
  EXPECT_THAT(found.nodes, IsEmpty());
}

TEST(SlowLinks, TwoHostsCannotBeToldApart) {
  const SlowLinks found = Find(2, SlowHosts({1}));
  EXPECT_THAT(found.nodes, IsEmpty());
  EXPECT_THAT(found.single, IsEmpty());
  EXPECT_EQ(found.typical, 101);
}

TEST(Clocks, OffsetsAreCarriedAlongTheBestLinks) {
  const std::vector<Link> links = {{.a = 0, .b = 1, .clock_offset = 2.0, .clock_error = 0.001},
                                   {.a = 1, .b = 2, .clock_offset = -5.0, .clock_error = 0.001},
                                   {.a = 0, .b = 2, .clock_offset = -2.0, .clock_error = 1.0}};
  const Clocks clocks = ClocksOf(4, links);
  EXPECT_THAT(clocks.offset, ElementsAre(0, 2, -3, 0));
  EXPECT_DOUBLE_EQ(clocks.error[2], 0.002);
  EXPECT_EQ(clocks.error[3], 0) << "no link leads there";
  EXPECT_THAT(ClocksOf(0, {}).offset, IsEmpty());
  EXPECT_THAT(ClocksOf(1, {}).offset, ElementsAre(0));
}

}  // namespace
}  // namespace orthant::doctor
