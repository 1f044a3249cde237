// Small configurations and their plans, for the tests of the collectives' plan and check.
#pragma once

#include <optional>
#include <string>

#include "orthant/train/collective_check.h"

namespace orthant::testing {

inline constexpr int64_t kVocab = 29;

inline RunConfig Small() {
  RunConfig c;
  c.model.layers = 4;
  c.model.heads = 4;
  c.model.hidden = 16;
  c.model.context = 16;
  c.train.global_batch = 8;
  c.train.micro_batch = 1;
  return c;
}

inline RunConfig On(RunConfig c, int data, int tensor, int pipeline, int sequence) {
  c.parallel.data = data;
  c.parallel.tensor = tensor;
  c.parallel.pipeline = pipeline;
  c.parallel.sequence = sequence;
  return c;
}

inline Mesh MeshOf(const RunConfig& c) {
  return MakeMesh(c.parallel, c.parallel.degrees().world()).value();
}

struct Planned {
  explicit Planned(const RunConfig& config)
      : mesh(MeshOf(config)),
        groups(mesh, config.zero.shard_ranks),
        plan(PlanCollectives(config, mesh, kVocab)) {}
  std::string Check() const {
    const std::optional<CollectiveConflict> conflict = CheckPlan(plan, groups);
    return conflict ? conflict->ToString(mesh) : "";
  }
  Mesh mesh;
  MeshGroups groups;
  CollectivePlan plan;
};

// Degrees of 2 on every axis, ZeRO 3 in hybrid shards, tensor_sequence: every group takes part.
inline RunConfig Everything() {
  RunConfig c = On(Small(), 4, 2, 2, 2);
  c.parallel.zero = 3;
  c.parallel.tensor_sequence = true;
  c.zero.shard_ranks = 4;
  return c;
}

}  // namespace orthant::testing
