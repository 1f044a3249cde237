// The communicators of one rank: one a group of the mesh that it belongs to. Made once, in the same order on
// all.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "orthant/comm/communicator.h"
#include "orthant/mesh/mesh.h"

namespace orthant {

struct Groups {
  Communicator* world = nullptr;  // not owned
  std::unique_ptr<Communicator> data, tensor, pipeline, sequence;
  std::unique_ptr<Communicator> data_sequence;   // gradients are summed, ZeRO shards live here
  std::unique_ptr<Communicator> embedding_pair;  // first and last stage, where there are two; else null

  // Bytes sent so far by axis, indexed by Axis: gradients and loss sums (data_sequence, world) count as data,
  // the embedding pair as pipeline.
  std::array<int64_t, kAxisCount> BytesSent() const;
};

// `world` is the whole mesh; collective over it.
Groups MakeGroups(const Mesh& mesh, Communicator& world);

}  // namespace orthant
