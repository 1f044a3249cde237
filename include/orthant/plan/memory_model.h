// What a rank of each pipeline stage holds at its peak: states, and what every operation of a block keeps for
// backward, counted tensor by tensor by family, attention, recompute and precision. docs/planning.md derives
// it.
#pragma once

#include <string>
#include <vector>

#include "orthant/plan/layout.h"

namespace orthant {

// Bytes of one rank.
struct StageMemory {
  double parameters = 0, gradients = 0, optimizer = 0;  // model states on the device
  double activations = 0;                               // of all microbatches under way
  double loss = 0;                                      // logits and what the loss keeps of them
  double working = 0;  // units whole, one block computed again, gradients of activations
  double host = 0;     // in host memory: offloaded states; not in total()

  double total() const { return parameters + gradients + optimizer + activations + loss + working; }
  // "activations 61.0 GB": the largest part.
  std::string Largest() const;
};

// Kept by a block for one microbatch from its forward to its backward, bytes.
struct BlockActivations {
  double whole = 0;  // without recompute
  double kept = 0;   // with the layout's recompute
  double again = 0;  // made again in its backward, beside what is kept
};
BlockActivations ActivationsOfBlock(const Machine& machine, const Workload& workload,
                                    const PlannedLayout& layout);

// Elements of a stage's parameters on one rank: its blocks, with the embedding on the first stage and the
// head on the last.
double StageParameters(const PlanModel& model, const PlannedLayout& layout, int64_t layers, bool first,
                       bool last);

// `layers` of each stage (StageLayers).
std::vector<StageMemory> MemoryOfStages(const Machine& machine, const Workload& workload,
                                        const PlannedLayout& layout, const BlockActivations& block,
                                        const std::vector<int64_t>& layers);

}  // namespace orthant
