// Where a run goes on: the newest whole checkpoint of its folder, another run's parameters, or the beginning.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orthant/comm/communicator.h"
#include "orthant/train/engine.h"
#include "orthant/train/run_config.h"

namespace orthant {

// The same on every rank.
struct Resumed {
  int64_t step = 0;                // that the run goes on after
  std::string from;                // the checkpoint's folder; empty: none
  std::vector<std::string> notes;  // for the user: checkpoints passed over, and why
};

// Brings the engine to where the run goes on, as checkpoint.resume and init.from say. DataError when a
// checkpoint that was asked for is missing or damaged, or none of those in the folder is whole, or one was
// written by a newer program. Collective over the world.
absl::StatusOr<Resumed> Resume(const RunConfig& config, Engine& engine, Communicator& world);

// Brings the engine back to the newest checkpoint of the run at or before `step`, and leaves out the batches
// that were read since: the data goes on behind the batch of the step now failed. NumericalError when there
// is no such checkpoint. Collective.
absl::StatusOr<Resumed> RollBack(const RunConfig& config, const StepResult& failed, Engine& engine,
                                 Communicator& world);

}  // namespace orthant
