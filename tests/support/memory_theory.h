// Model states and traffic by the formulas of the ZeRO paper (arXiv 1910.02054, sections 5 and 7), units,
// padding and microbatches included: what accounts and communicators are held to.
#pragma once

#include <cstdint>

#include "orthant/train/engine.h"
#include "orthant/train/memory_estimate.h"
#include "orthant/train/parallel_model.h"

namespace orthant::testing {

// Bytes of an element of values, gradients and optimiser state.
struct StateSizes {
  int64_t value = 4, gradient = 4, optimizer = 8;
};

inline StateSizes StateSizesOf(const TrainConfig& train) {
  const Precision p = PrecisionOf(train);
  StateSizes sizes;
  sizes.value = static_cast<int64_t>(c10::elementSize(p.values));
  sizes.gradient = static_cast<int64_t>(c10::elementSize(p.gradients));
  sizes.optimizer = at::isReducedFloatingType(p.values) ? 12 : 2 * sizes.gradient;
  return sizes;
}

// Of `elements` on `ranks`: stage 1 shards the optimiser's state, 2 gradients too, 3 values too.
inline double StateBytes(double elements, const StateSizes& s, int stage, double ranks) {
  const auto part = [&](int from) { return stage >= from ? ranks : 1.0; };
  return elements * (static_cast<double>(s.value) / part(3) + static_cast<double>(s.gradient) / part(2) +
                     static_cast<double>(s.optimizer) / part(1));
}

// What one rank sends in a step on data x sequence, by `units` of a mesh without a pipeline: gathers before
// each use (a block in forward and in backward; the embedding where it is looked up and, tied, where the loss
// reads it; the head once, from its forward to its backward), one reduction a microbatch under stages 2
// and 3. The exchange of loss, norm and votes over the world is the last term.
inline int64_t DataTraffic(const std::vector<UnitEstimate>& units, const RunConfig& c) {
  const Precision p = PrecisionOf(c.train);
  const int64_t value = static_cast<int64_t>(c10::elementSize(p.values));
  const int64_t travel = static_cast<int64_t>(c10::elementSize(p.reduction));
  const int64_t ranks = int64_t{c.parallel.data} * c.parallel.sequence, world = c.parallel.degrees().world();
  const int64_t shards = c.zero.shard_ranks > 0 ? c.zero.shard_ranks : ranks, replicas = ranks / shards;
  const int64_t microbatches = c.Microbatches();
  const int zero = c.parallel.zero;
  int64_t sent = 0;
  for (const UnitEstimate& unit : units) {
    if (zero == 0) {
      sent += 2 * (ranks - 1) * unit.elements * travel / ranks;
      continue;
    }
    const int64_t others = (shards - 1) * unit.share;  // elements of an all-gather, or a reduce-scatter
    sent += (zero == 1 ? 1 : microbatches) * others * travel;
    sent += 2 * (replicas - 1) * unit.share * travel / replicas;
    const bool block = unit.name.starts_with("h.");
    const bool table = unit.name == "embedding" || unit.name == "embedding/0";
    const bool twice = block || (c.model.tie_embeddings && table);
    const int64_t gathers = zero < 3 ? 1 : c.zero.release_after_forward ? (twice ? 2 : 1) * microbatches : 1;
    sent += gathers * others * value;
  }
  return sent + 2 * (world - 1) * kStepSums * int64_t{sizeof(double)} / world;
}

}  // namespace orthant::testing
