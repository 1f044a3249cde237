// What the planner is asked, made from a run's configuration.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/plan_workload.h"
#include "cli/run_file.h"
#include "orthant/plan/search.h"

namespace orthant {

// What the user has set of a layout. ConfigurationError names a value whose times the planner does not know.
absl::StatusOr<FixedChoices> FixedBy(const RunConfig& config, const LoadedConfig& loaded,
                                     const Machine& machine);

// `memory.limit` of a run (0: none) where it is below the device's memory.
void LimitMemoryTo(int64_t bytes, SearchRequest* request);

// ConfigurationError when the ranks need more nodes than the machine has by its file.
absl::Status CheckNodes(const SearchRequest& request);

}  // namespace orthant
