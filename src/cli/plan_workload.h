// A run's configuration in the planner's terms.
#pragma once

#include "absl/status/statusor.h"
#include "orthant/config/config.h"
#include "orthant/plan/layout.h"
#include "orthant/train/run_config.h"

namespace orthant {

// The model, its vocabulary (the data is opened only where it is needed), the batch and the precision. What
// VocabularyOf and CheckPlanModel find wrong.
absl::StatusOr<Workload> WorkloadOf(const RunConfig& config, const LoadedConfig* loaded = nullptr);

// The layout that the run itself sets.
PlannedLayout PlannedLayoutOf(const RunConfig& config);

}  // namespace orthant
