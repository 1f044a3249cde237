// The time of a step and where it goes, from a layout alone: blocks, communication on each axis, the
// pipeline, the update. Pure; microseconds a call, so that a search can ask for every layout.
#pragma once

#include <vector>

#include "orthant/plan/communication_time.h"
#include "orthant/plan/compute_time.h"
#include "orthant/plan/memory_model.h"

namespace orthant {

// What layouts with the same tensor, sequence, micro_batch, recompute and tensor_sequence share.
struct BlockCost {
  BlockTime time;
  HeadTime head;
  BlockActivations activations;
  double tensor_forward = 0;   // s of tensor's collectives of a block and microbatch
  double tensor_backward = 0;  // the part that nothing hides
  double tensor_backward_hidden = 0;
  double sequence = 0;                          // s of Ulysses' exchanges of one direction
  double tensor_bytes = 0, sequence_bytes = 0;  // sent a block and microbatch, both directions, recompute too
};
BlockCost CostOfBlock(const Machine& machine, const Workload& workload, const PlannedLayout& layout);

// Seconds of a step, of a rank of the average stage; they add up to `step`.
struct StepParts {
  double compute = 0;                                       // forward, backward and what is computed again
  double tensor = 0, sequence = 0, pipeline = 0, data = 0;  // exposed communication
  double bubble = 0;
  double optimizer = 0;  // with offload's transfers
  double overhead = 0;   // of the step and of microbatches
};

struct StepPrediction {
  double step = 0;  // s
  StepParts parts;
  double tensor_hidden = 0, data_hidden = 0;  // s of communication beside compute
  double tokens_per_second = 0;               // of all ranks
  double mfu = 0, hfu = 0;                    // model and hardware FLOPs over the peak
  LinkBytes sent;                             // by a rank of the first stage, a step
};

StepPrediction PredictStep(const Machine& machine, const Workload& workload, const PlannedLayout& layout,
                           const BlockCost& block, const std::vector<int64_t>& layers);

// The three together; ConfigurationError where the software cannot split the layers so.
struct LayoutPrediction {
  PlannedLayout layout;
  StepPrediction time;
  std::vector<StageMemory> memory;  // of each pipeline rank
  bool fits = true;

  const StageMemory& WorstStage() const;
};
absl::StatusOr<LayoutPrediction> Predict(const Machine& machine, const Workload& workload,
                                         const PlannedLayout& layout);

// Seconds of a pipeline's compute whose ranks take `forward` and `backward` for a microbatch: the makespan of
// 1F1B and GPipe where stages are alike, and a bound where they are not; interleaving divides the bubble.
double PipelineSeconds(const std::vector<double>& costs, int64_t microbatches, int64_t chunks);

}  // namespace orthant
