#include "orthant/doctor/links.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "orthant/core/median.h"

namespace orthant::doctor {
namespace {

constexpr int kRandomRounds = 10;  // each one partner for every node

Pair Ordered(int a, int b) {
  return {std::min(a, b), std::max(a, b)};
}

// Every pair once: node n-1 stands still, the others turn.
std::vector<std::vector<Pair>> Tournament(int nodes) {
  const int seats = nodes + nodes % 2;  // who meets the empty seat rests
  std::vector<std::vector<Pair>> rounds;
  for (int round = 0; round + 1 < seats; ++round) {
    std::vector<Pair> pairs;
    for (int i = 0; i < seats / 2; ++i) {
      const int a = i == 0 ? seats - 1 : (round + i) % (seats - 1);
      const int b = (round - i + seats - 1) % (seats - 1);
      if (a < nodes && b < nodes) pairs.push_back(Ordered(a, b));
    }
    std::sort(pairs.begin(), pairs.end());
    rounds.push_back(std::move(pairs));
  }
  return rounds;
}

std::vector<std::vector<Pair>> RingAndRandom(int nodes, uint64_t seed) {
  std::vector<std::vector<Pair>> rounds(2);
  std::set<Pair> met;
  const auto add = [&](std::vector<Pair>* round, int a, int b) {
    const Pair pair = Ordered(a, b);
    if (met.insert(pair).second) round->push_back(pair);
  };
  for (int a = 0; a + 1 < nodes; ++a) add(&rounds[static_cast<size_t>(a % 2)], a, a + 1);
  // The ring closes in the odd round where 0 and n-1 are both free, else in a round of its own.
  if (nodes % 2 == 0) {
    add(&rounds[1], 0, nodes - 1);
  } else {
    add(&rounds.emplace_back(), 0, nodes - 1);
  }
  std::vector<int> order(static_cast<size_t>(nodes));
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(seed);
  for (int i = 0; i < kRandomRounds; ++i) {
    // By hand: std::shuffle may differ between libraries, and all ranks must agree.
    for (size_t k = order.size() - 1; k > 0; --k) std::swap(order[k], order[random() % (k + 1)]);
    std::vector<Pair> round;
    for (size_t k = 0; k + 1 < order.size(); k += 2) add(&round, order[k], order[k + 1]);
    rounds.push_back(std::move(round));
  }
  return rounds;
}

// Which nodes' best link is above the limit; what is typical goes to `*typical`.
std::vector<int> SlowNodes(int nodes, const std::vector<Link>& links, const std::vector<double>& costs,
                           const OddRule& rule, SlowLinks* found) {
  std::vector<double> best(static_cast<size_t>(nodes), std::numeric_limits<double>::infinity());
  for (size_t i = 0; i < links.size(); ++i) {
    for (const int node : {links[i].a, links[i].b}) {
      double& mine = best[static_cast<size_t>(node)];
      mine = std::min(mine, costs[i]);
    }
  }
  std::vector<double> known;
  std::vector<int> whose;
  for (int node = 0; node < nodes; ++node) {
    if (best[static_cast<size_t>(node)] == std::numeric_limits<double>::infinity()) continue;
    known.push_back(best[static_cast<size_t>(node)]);
    whose.push_back(node);
  }
  found->typical = LowMedian(known);
  for (const size_t i : OddOnes(known, rule)) {
    found->nodes.push_back(whose[i]);
    found->costs.push_back(known[i]);
  }
  return found->nodes;
}

// Of `slow` links takes those away that one node has most of its own among; false when no node does.
bool BlameOne(const std::map<int, int>& measured, const std::vector<Link>& links,
              const std::vector<double>& costs, std::vector<size_t>* slow, SlowLinks* found) {
  std::map<int, std::vector<double>> by_node;
  for (const size_t i : *slow) {
    by_node[links[i].a].push_back(costs[i]);
    by_node[links[i].b].push_back(costs[i]);
  }
  int worst = -1;
  size_t most = 1;
  bool alone = false;
  for (const auto& [node, its] : by_node) {
    if (2 * its.size() <= static_cast<size_t>(measured.at(node)) || its.size() < most) continue;
    alone = its.size() > most;
    if (alone) worst = node;
    most = its.size();
  }
  // Two nodes with equally many: either could be it.
  if (worst < 0 || most < 2 || !alone) return false;
  found->nodes.push_back(worst);
  found->costs.push_back(MedianOf(by_node[worst]));
  std::erase_if(*slow, [&](size_t i) { return links[i].a == worst || links[i].b == worst; });
  return true;
}

}  // namespace

std::vector<std::vector<Pair>> PairRounds(int nodes, int whole, uint64_t seed) {
  if (nodes < 2) return {};
  return nodes <= whole ? Tournament(nodes) : RingAndRandom(nodes, seed);
}

SlowLinks FindSlowLinks(int nodes, const std::vector<Link>& links, const std::vector<double>& costs,
                        const OddRule& rule) {
  SlowLinks found;
  found.typical = LowMedian(costs);
  if (nodes < 3 || links.size() < 3) return found;
  const std::vector<int> slow_nodes = SlowNodes(nodes, links, costs, rule, &found);
  const std::set<int> gone(slow_nodes.begin(), slow_nodes.end());
  // What is left is judged by its own like.
  std::vector<size_t> rest;
  std::vector<double> rest_costs;
  std::map<int, int> measured;
  for (size_t i = 0; i < links.size(); ++i) {
    if (gone.count(links[i].a) + gone.count(links[i].b) > 0) continue;
    rest.push_back(i);
    rest_costs.push_back(costs[i]);
    ++measured[links[i].a];
    ++measured[links[i].b];
  }
  std::vector<size_t> slow;
  for (const size_t k : OddOnes(rest_costs, rule)) slow.push_back(rest[k]);
  while (!slow.empty() && BlameOne(measured, links, costs, &slow, &found)) {
  }
  found.single = std::move(slow);
  return found;
}

Clocks ClocksOf(int nodes, const std::vector<Link>& links) {
  Clocks clocks;
  const double far = std::numeric_limits<double>::infinity();
  clocks.offset.assign(static_cast<size_t>(nodes), 0.0);
  clocks.error.assign(static_cast<size_t>(nodes), far);
  if (nodes == 0) return clocks;
  clocks.error[0] = 0.0;
  // Bellman and Ford: few rounds serve, since links reach far.
  for (int round = 0; round < nodes; ++round) {
    bool moved = false;
    const auto relax = [&](int from, int to, double offset, double error) {
      const auto f = static_cast<size_t>(from), t = static_cast<size_t>(to);
      if (clocks.error[f] + error >= clocks.error[t]) return;
      clocks.error[t] = clocks.error[f] + error;
      clocks.offset[t] = clocks.offset[f] + offset;
      moved = true;
    };
    for (const Link& link : links) {
      relax(link.a, link.b, link.clock_offset, link.clock_error);
      relax(link.b, link.a, -link.clock_offset, link.clock_error);
    }
    if (!moved) break;
  }
  for (double& error : clocks.error) {
    if (error == far) error = 0.0;
  }
  return clocks;
}

}  // namespace orthant::doctor
