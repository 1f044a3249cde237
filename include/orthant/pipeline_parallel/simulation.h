// How long a schedule takes and what it holds, from the cost of each action. Pure arithmetic, no ranks.
#pragma once

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/pipeline_parallel/schedule.h"

namespace orthant {

// Costs in any one unit of time. Communication occupies no rank; a result is at the next stage `transfer`
// later.
struct ScheduleCosts {
  double forward = 1, backward = 2, backward_input = 1, backward_weight = 1;
  double transfer = 0;
  // Multiplies the costs of a stage where given (uneven stages).
  std::function<double(int stage)> stage_weight;

  double Of(ActionKind kind, int stage) const;
};

struct Simulation {
  double makespan = 0;
  std::vector<double> busy;    // [ranks] time spent computing
  std::vector<double> bubble;  // [ranks] idle share of the makespan
  std::vector<int>
      live_activations;  // [ranks] most (chunk, microbatch) pairs between forward and backward at once
};

// Each rank takes its actions in order, each as soon as its inputs are there. Communication actions are
// skipped: the data they carry follows from the compute. ConfigurationError (with the grid) when the order
// cannot be executed.
absl::StatusOr<Simulation> Simulate(const Schedule& schedule, const ScheduleCosts& costs = {});

// What Simulate adds up, action by action: to draw.
struct SimulatedAction {
  int rank = 0;
  Action action;
  double begin = 0, end = 0;
};
// In the order in which they begin; compute alone. Errors as Simulate's.
absl::StatusOr<std::vector<SimulatedAction>> SimulateActions(const Schedule& schedule,
                                                             const ScheduleCosts& costs = {});

}  // namespace orthant
