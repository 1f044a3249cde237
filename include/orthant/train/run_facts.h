// What a run writes of itself beside tensors: the facts in each checkpoint's manifest, and the ledger of
// skipped samples.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"
#include "orthant/train/anomaly.h"
#include "orthant/train/run_state.h"
#include "orthant/train/trainer.h"

namespace orthant {

// Configuration, mesh, model, seed, progress.
nlohmann::ordered_json CheckpointFacts(const PreparedRun& run, const Progress& progress);

// RUN_DIR/skipped.jsonl, one object for each decision: step, reason, whether the data moved up, the batches
// and their samples. Removed when there are none. One process.
absl::Status WriteSkippedLedger(const PreparedRun& run, const std::vector<SkippedBatches>& skipped);

}  // namespace orthant
