// What the planner is asked, made from a run's configuration.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/run_file.h"
#include "orthant/plan/search.h"

namespace orthant {

// The model, its vocabulary (the data is opened only where it is needed) and the batch.
absl::StatusOr<Workload> WorkloadOf(const RunConfig& config);

// What the user has set of a layout. ConfigurationError names a value that the planner does not know.
absl::StatusOr<FixedChoices> FixedBy(const RunConfig& config, const LoadedConfig& loaded);

// `memory.limit` of a run (0: none) in the place of the device's memory.
void LimitMemoryTo(int64_t bytes, Machine* machine);

// ConfigurationError when the ranks need more nodes than the machine has by its file.
absl::Status CheckNodes(const SearchRequest& request);

}  // namespace orthant
