// A run from its configuration to its end: checks, folder, ranks. The steps themselves are in loop.h.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "orthant/config/config.h"
#include "orthant/data/dataset.h"
#include "orthant/mesh/mesh.h"
#include "orthant/train/launch.h"
#include "orthant/train/run_config.h"
#include "orthant/train/validate.h"

namespace orthant {

// A run once everything that can be checked without ranks has been.
struct PreparedRun {
  RunConfig config;
  Mesh mesh{Degrees{}};
  Dataset dataset;
  int64_t vocab = 0;
  std::string config_text;  // as stored with the run; empty outside of one
};

// Checks the configuration, opens the data and checks one against the other.
absl::StatusOr<PreparedRun> PrepareRun(const RunConfig& config, const OriginOf& origin);

// How processes become ranks, for Launcher::Run (parallel.placement).
OrderRanks OrderOf(const ParallelConfig& parallel, const Mesh& mesh);

// A whole run: checks, folder, ranks, loop. What `orthant train` does.
absl::Status TrainRun(Launcher& launcher, const RunConfig& config, const LoadedConfig& loaded, bool json);

}  // namespace orthant
