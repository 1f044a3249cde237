// Links between hosts (or, on one host, between ranks): who measures with whom and when, and which node or
// link the slow measurements point to. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "orthant/doctor/statistics.h"

namespace orthant::doctor {

// What the two ends a < b of a link found. Times in seconds, one way; bytes a second.
struct Link {
  int a = 0, b = 0;
  double latency = 0;         // the best of many small messages: what the link can do
  double median_latency = 0;  // what it does
  double bandwidth = 0;       // of a large message
  double clock_offset = 0;    // b's clock less a's
  double clock_error = 0;     // at most
};

using Pair = std::pair<int, int>;  // first < second

// Rounds in which every node measures with at most one other, so that links are measured side by side without
// sharing a node. Up to `whole` nodes every pair meets once (the circle method of tournaments, n - 1 or n
// rounds); beyond, each node meets its two neighbours on a ring and some ten random others, the same on every
// rank.
std::vector<std::vector<Pair>> PairRounds(int nodes, int whole = 16, uint64_t seed = 1);

// What slow links come from.
struct SlowLinks {
  double typical = 0;          // cost of the best link of the typical node
  std::vector<int> nodes;      // all of whose links, or most, are slow; worst first
  std::vector<double> costs;   // of each such node's best link (of its slow links' median, when not all are)
  std::vector<size_t> single;  // slow links between other nodes, as indices into the links; worst first
};

// A node whose best link is slow is slow itself: a node that is not has a good link as soon as there is a
// second good one. Of the links between the others the slow ones are blamed on the node that has most of
// them, when these are more than half of its own, and named one by one otherwise. `costs[i]` is that of
// links[i], more is worse. Fewer than three nodes: nothing can be told apart.
SlowLinks FindSlowLinks(int nodes, const std::vector<Link>& links, const std::vector<double>& costs,
                        const OddRule& rule);

// Each node's clock less node 0's, over the links of least error; 0 where no links lead. Errors beside.
struct Clocks {
  std::vector<double> offset, error;
};
Clocks ClocksOf(int nodes, const std::vector<Link>& links);

}  // namespace orthant::doctor
