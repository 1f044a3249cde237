// The bench of the training step: drives the trainer's own engine for a number of steps on all ranks and
// brings their times together. Nothing is evaluated, saved or written.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "orthant/bench/step_report.h"
#include "orthant/comm/communicator.h"
#include "orthant/train/launch.h"
#include "orthant/train/trainer.h"

namespace orthant {

struct StepBenchOptions {
  int64_t steps = 20;                             // timed
  int64_t warmup = 3;                             // before them
  double seconds = 0;                             // stop the timed steps after so long; 0: never
  std::chrono::steady_clock::time_point started;  // the program's start, for the first step's time
};

// Collective over `world`, which is the whole of run.mesh. Whole on rank 0; on the others only the status
// counts. NumericalError when a step's loss is not finite or jumps (as `anomaly` says), EnvironmentError at
// memory.limit. `progress` is called on rank 0 after each step, warm-up included.
absl::StatusOr<StepBenchResult> BenchStep(const PreparedRun& run, const StepBenchOptions& options,
                                          Communicator& world, const RankEnvironment& environment,
                                          const std::function<void(int64_t done, int64_t total)>& progress);

}  // namespace orthant
