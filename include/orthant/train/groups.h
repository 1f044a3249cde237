// The communicators of one rank: one a group of the mesh that it belongs to. Made once, in the same order on
// all.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "orthant/comm/communicator.h"
#include "orthant/mesh/mesh.h"

namespace orthant {

struct Groups {
  Communicator* world = nullptr;  // not owned
  std::unique_ptr<Communicator> data, tensor, pipeline, sequence;
  std::unique_ptr<Communicator> data_sequence;   // gradients are summed, ZeRO shards live here
  std::unique_ptr<Communicator> embedding_pair;  // first and last stage, where there are two; else null
  // The halves of data_sequence under hybrid sharding: `shard` shares one set of shards, `replica` the same
  // shard.
  std::unique_ptr<Communicator> hybrid_shard, hybrid_replica;

  // Of ZeRO: the ranks that share one set of shards (null at stage 0), and those that hold the same as this
  // one (null when it is alone).
  Communicator* Shard(int zero_stage) const;
  Communicator* Replica(int zero_stage) const;

  // Bytes sent so far by axis, indexed by Axis: gradients and loss sums (data_sequence, world) count as data,
  // the embedding pair as pipeline.
  std::array<int64_t, kAxisCount> BytesSent() const;
  // What this rank's operations have cost it so far, by the same axes.
  std::array<CommTime, kAxisCount> Times() const;

  // This rank's part of a sum over the world that is 0 as long as the members of every group have called the
  // same operations in the same order.
  double HashBalance() const;
  // After that sum was not 0: who called what. The same text on every rank. Collective over the world.
  std::string ExplainImbalance();

 private:
  std::vector<Communicator*> All() const;
  Axis AxisOf(const Communicator* group) const;
};

// `world` is the whole mesh; collective over it. `shard_ranks` divides data x sequence; 0: all of it.
Groups MakeGroups(const Mesh& mesh, int64_t shard_ranks, Communicator& world);

}  // namespace orthant
