// How long ranks communicate: groups of a mesh placed on nodes, collectives inside and across them. Pure.
#pragma once

#include <cstdint>

#include "orthant/plan/layout.h"

namespace orthant {

// A group of `size` ranks that lie `stride` ranks apart, on nodes of equal size.
struct PlacedGroup {
  int64_t size = 1;
  int64_t in_node = 1;  // members a node
  int64_t nodes = 1;
  int64_t sharing = 1;  // groups that use a node's network at the same time

  bool crosses() const { return nodes > 1; }
};
PlacedGroup Place(const Machine& machine, int64_t size, int64_t stride);

// Rank order as the mesh's: pipeline, data, sequence, tensor, the last fastest.
PlacedGroup TensorGroup(const Machine& machine, const PlannedLayout& layout);
PlacedGroup SequenceGroup(const Machine& machine, const PlannedLayout& layout);
PlacedGroup ShardGroup(const Machine& machine, const PlannedLayout& layout);  // of ZeRO
// The replicas of a shard: data x sequence without ZeRO.
PlacedGroup CopyGroup(const Machine& machine, const PlannedLayout& layout);
// Whether some stage's next one is on another node: the slowest of them sets the pace.
bool StagesCross(const Machine& machine, const PlannedLayout& layout);

// Seconds, each for a tensor of `bytes` in all on a rank: reduced inside the node, then across.
double AllReduceSeconds(const Machine& machine, const PlacedGroup& group, double bytes);
double GatherSeconds(const Machine& machine, const PlacedGroup& group, double bytes);  // or reduce-scatter
double AllToAllSeconds(const Machine& machine, const PlacedGroup& group, double bytes);
// A stage's activation or gradient to the next stage.
double SendSeconds(const Machine& machine, const PlannedLayout& layout, double bytes);

// What a rank sends, by the textbook algorithms.
struct LinkBytes {
  double node = 0, network = 0, host = 0;

  void Add(const PlacedGroup& group, double bytes);  // to the network where the group crosses nodes
};

}  // namespace orthant
