// The training state of one rank, as a checkpoint sees it: which stretches of which logical tensors it holds,
// and which of them it is this rank's part to write.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"
#include "orthant/checkpoint/reader.h"
#include "orthant/checkpoint/saver.h"
#include "orthant/optim/adamw.h"
#include "orthant/optim/loss_scale.h"
#include "orthant/train/anomaly.h"
#include "orthant/train/parallel_model.h"

namespace orthant {

// What the loop knows beside tensors: everything that the next step depends on.
struct Progress {
  int64_t step = 0;                // the last one done
  int64_t updates = 0;             // that AdamW has made: its bias corrections count these
  int64_t batches_passed = 0;      // by which the data is ahead of the steps: rollbacks left them out
  bool loss_scale_active = false;  // else loss_scale says nothing
  LossScale::State loss_scale;
  std::vector<double> recent_losses;  // SpikeDetector::state
  std::vector<SkippedBatches> skipped;

  // The batch, counted from 0, of the next step.
  int64_t next_batch() const { return step + batches_passed; }
  friend bool operator==(const Progress&, const Progress&) = default;
};
nlohmann::ordered_json ToJson(const Progress& progress);
// DataError naming `origin` and the field.
absl::StatusOr<Progress> ProgressFromJson(const nlohmann::ordered_json& run, const std::string& origin);

// The pieces that this rank writes; over all ranks each element comes once: what several ranks hold alike is
// split among them. Pieces of unit u change in AdamW's update of unit u. `all`: with masters and moments.
std::vector<StatePiece> CollectState(const ParallelModel& model, AdamW& optimizer, bool all);

// Fills parameters from a checkpoint of any mesh, stage and type, and with `all` masters and moments too.
// Collective where values are shared afterwards, and so to be agreed on: a rank whose reading failed takes
// part in the exchange, and returns its error.
absl::Status LoadState(ParallelModel& model, AdamW& optimizer, CheckpointReader& reader, bool all);

}  // namespace orthant
